"""Another project uses the kit as docs/testing.md says: every example of the page runs there, in processes of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mail_oauth.testing import plugin
from tests.documentation.blocks import DOCS, README, ROOT, block, blocks
from tests.downstream.test_app_only import APPS

PAGE = DOCS / "testing.md"

SETTINGS = (
    f"APPS = {APPS!r}"
    """
INSTALLED_APPS += ["mail_oauth", "inbox"]
MAIL_OAUTH = {
    "BASE_URL": "https://your.site",
    "PROXY": "http://proxy.your.site:3128",
    "PROVIDERS": {
        "entra": {"CLASS": "microsoft", "CLIENT_ID": "id", "CLIENT_SECRET": "secret", "TENANT": "contoso.com"},
        **APPS,
        "google": {"CLIENT_ID": "id", "CLIENT_SECRET": "secret"},
        "yahoo": {"CLIENT_ID": "id", "CLIENT_SECRET": "secret"},
        "fastmail": {"CLIENT_ID": "id"},
        "sso": {"CLASS": "oidc", "CLIENT_ID": "id", "ISSUER": "https://sso.example", "SCOPES": ["openid", "email", "offline_access"]},
    }
}
FERNET_KEYS = ["a key of this site's own"]
"""
)
URLS = """
from django.urls import include

urlpatterns += [path("mail/", include("mail_oauth.urls"))]
"""
EVERY_PROVIDER = """
import pytest
from django.conf import settings

ALIASES = list(settings.MAIL_OAUTH["PROVIDERS"])


@pytest.mark.django_db
@pytest.mark.parametrize("alias", ALIASES)
def test_plays(connect_mailbox, fake_provider, alias):
    mailbox = connect_mailbox(alias=alias, seconds_left=-1)
    token = mailbox.get_access_token()
    assert fake_provider.is_valid_access_token(token.reveal(), email=mailbox.email)


def test_goes_when_the_test_is_over(settings):
    assert settings.MAIL_OAUTH["PROVIDERS"]["google"] == {"CLIENT_ID": "id", "CLIENT_SECRET": "secret"}


def test_begins_without_calls(fake_provider):
    assert fake_provider.calls == []
"""
PLAIN = """
import sys


def test_nothing_was_imported():
    assert not [name for name in sys.modules if name.partition(".")[0] == "django"]
    assert "mail_oauth.testing.provider" not in sys.modules


def test_the_provider_serves(fake_provider_server):
    assert fake_provider_server.grant("ada@example.com")["access_token"]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project fresh from `startproject`, with this app and the examples of the page."""
    run(tmp_path, "-m", "django", "startproject", "site_with_mail", ".")
    for name, more in (("settings", SETTINGS), ("urls", URLS)):
        path = tmp_path / "site_with_mail" / f"{name}.py"
        path.write_text(path.read_text() + more)
    for folder in ("tests", "inbox"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    for body in blocks(PAGE, "python"):
        [name] = re.findall(r"^# (\S+\.py)$", body.splitlines()[0])
        (tmp_path / name).write_text(body)
    (tmp_path / "tests" / "test_readme.py").write_text(block(README, "python", "mail_oauth_clock"))
    return tmp_path


def run(place: Path, *arguments: str) -> str:
    """What Python said in another process, in which warnings are errors, and which must end well."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("DJANGO")}
    ended = subprocess.run(
        [sys.executable, *arguments],
        cwd=place,
        env={**environment, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-4000:]
    return ended.stdout + ended.stderr


def test_the_pages_examples_run_under_pytest(project):
    said = run(
        project,
        "-m",
        "pytest",
        "--ds=site_with_mail.settings",
        "-q",
        "tests",
        *sorted(f"inbox/{path.name}" for path in (project / "inbox").glob("test*.py")),
    )
    promised = sum(
        len(re.findall(r"^ *(?:async )?def test_", body, re.MULTILINE)) for body in blocks(PAGE, "python")
    )
    assert f"{promised + 1} passed" in said, "and the README's"


LATE = """
import os, sys

import django
import pytest

os.environ["DJANGO_SETTINGS_MODULE"] = "site_with_mail.settings"
django.setup()
sys.exit(pytest.main(["-q", "-W", "error", *sys.argv[1:], "tests/test_readme.py"]))
"""
QUIET = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"


def test_what_a_program_hears_that_runs_pytest_late(project):
    """And how it hears it no more, as the page says."""
    assert QUIET in PAGE.read_text()
    assert "1 passed" in run(project, "-c", LATE, "-W", QUIET)
    with pytest.raises(AssertionError, match="PytestAssertRewriteWarning"):
        run(project, "-c", LATE)


ALONE = """
def test_first_of_all(connected_mailbox, transactional_db):
    from django.db import connection

    assert "memory" in str(connection.settings_dict["NAME"])
    assert connected_mailbox.get_access_token()
"""


@pytest.mark.parametrize("code", ["the README's", "another database fixture beside it"])
def test_a_test_that_has_a_mailbox_has_a_database_of_its_own(project, code):
    """Also where no other test names the database: pytest-django makes it for those that it knows of."""
    path = project / "tests" / "test_readme.py"
    if code != "the README's":
        path.write_text(ALONE)
    assert "1 passed" in run(project, "-m", "pytest", "--ds=site_with_mail.settings", "-q", str(path))
    assert not (project / "db.sqlite3").exists()


def test_its_test_case_runs_by_manage_py(project):
    assert "Ran 6 tests" in run(project, "manage.py", "test", "inbox")


def test_each_of_a_sites_providers_is_played_and_its_settings_come_back(project):
    (project / "tests" / "test_providers.py").write_text(EVERY_PROVIDER)
    said = run(project, "-m", "pytest", "--ds=site_with_mail.settings", "-q", "tests/test_providers.py")
    assert "9 passed" in said


def test_the_plugin_imports_nothing_of_django_before_it_is_used(tmp_path):
    (tmp_path / "test_plain.py").write_text(PLAIN)
    assert "2 passed" in run(
        tmp_path, "-m", "pytest", "-q", "-p", "no:django", "-p", "no:randomly", "test_plain.py"
    )


def test_the_page_has_the_fixtures_that_there_are():
    table = re.search(r"<!-- fixtures -->(.*)<!-- /fixtures -->", PAGE.read_text(), re.DOTALL)
    assert table is not None
    theirs = {name for name, value in vars(plugin).items() if type(value).__name__ == "FixtureFunctionDefinition"}
    assert set(re.findall(r"^\| `(\w+)` \|", table[1], re.MULTILINE)) == theirs
