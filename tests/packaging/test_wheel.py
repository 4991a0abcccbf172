"""The wheel holds the app with all that it reads, and nothing else; another project's mypy believes its types."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

import pytest

import mail_oauth
from tests.documentation.blocks import ROOT

KINDS = set(".py .html .txt .css .js .svg .mo .po .lua .json .typed".split())
"""Kinds of files that the app may be made of: what an editor or a test run leaves is of another."""

STRICT = """\
import datetime
import uuid

from mail_oauth.exceptions import MailboxError, ReauthRequired
from mail_oauth.models import MailCredentials
from mail_oauth.tokens import AccessToken


def bearer(pk: uuid.UUID) -> str:
    token: AccessToken = MailCredentials.objects.get_access_token(pk)
    expires: datetime.datetime = token.expires_at
    return f"Bearer {token.reveal()} until {expires}"


def unread(mailbox: MailCredentials) -> bytes:
    with mailbox.imap() as imap:
        imap.select()
        numbers: bytes = imap.search(None, "UNSEEN")[1][0]
        return numbers


def problem(error: ReauthRequired) -> MailboxError:
    return error
"""
WRONG = """\
from mail_oauth.models import MailCredentials
from mail_oauth.tokens import Secret


def length(mailbox: MailCredentials) -> int:
    return mailbox.get_access_token()


def odd() -> Secret:
    return Secret(7)
"""
MYPY = """\
[mypy]
strict = True
"""


@pytest.fixture(scope="module")
def packed(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.slow
def test_it_holds_every_file_of_the_app_and_nothing_else(packed):
    files = {
        path for path in (ROOT / "mail_oauth").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    assert {str(path.relative_to(ROOT)) for path in files} - packed == set()
    assert {name for name in packed if not name.startswith(("mail_oauth/", "mail_oauth-"))} == set()
    assert "mail_oauth/py.typed" in packed
    kinds = {Path(name).suffix for name in packed if name.startswith("mail_oauth/")}
    assert {".html", ".css", ".mo", ".typed"} <= kinds <= KINDS


@pytest.mark.slow
def test_it_says_what_it_is(wheel):
    metadata, entry_points = (
        zipfile.ZipFile(wheel).read(f"mail_oauth-{mail_oauth.__version__}.dist-info/{name}").decode()
        for name in ("METADATA", "entry_points.txt")
    )
    fields = HeaderParser().parsestr(metadata)
    assert fields["Version"] == mail_oauth.__version__
    assert fields["Description-Content-Type"] == "text/markdown"
    assert "mail_oauth.testing.plugin = mail_oauth.testing.plugin" in entry_points


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An environment with the wheel in it, and with what this one has behind it.

    It goes at the end: the fake provider's known secret stands in it, and temporary files are looked through.
    """
    place = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(place), "platbase": str(place)}))
    zipfile.ZipFile(wheel).extractall(packages)
    (packages / "behind.pth").write_text(sysconfig.get_path("purelib"))
    yield place
    shutil.rmtree(place)


def judged(environment: Path, place: Path, source: str) -> str:
    """What mypy says of a project of one file."""
    pytest.importorskip("mypy", reason="mypy is not installed")
    (place / "site_of_one.py").write_text(source)
    (place / "mypy.ini").write_text(MYPY)
    python = environment / "bin" / "python"
    command = [sys.executable, "-m", "mypy", "--python-executable", str(python), "site_of_one.py"]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False).stdout


@pytest.mark.slow
def test_another_projects_strict_mypy_believes_its_types(environment, tmp_path):
    assert "Success: no issues found" in judged(environment, tmp_path, STRICT)


@pytest.mark.slow
def test_and_finds_what_is_wrong_by_them(environment, tmp_path):
    said = judged(environment, tmp_path, WRONG)
    assert 'got "AccessToken", expected "int"' in said
    assert 'Argument 1 to "Secret" has incompatible type "int"; expected "str"' in said
