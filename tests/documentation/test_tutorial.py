"""docs/tutorial.md, followed literally: from an empty directory to a connected mailbox. Only nothing is installed."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from mail_oauth.testing.walker import walk
from tests.documentation.blocks import DOCS, ROOT, blocks
from tests.services.dovecot import free_ports

pytestmark = pytest.mark.worker

PAGE = DOCS / "tutorial.md"
PORTS = ("8000", "9000", "9993", "9465")
START_SECONDS = 60


class Reader:
    """Somebody who types what the page says, on ports that are free here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
        self.consoles = [self.here(body).splitlines() for body in blocks(PAGE, "console")]
        self.files = [self.here(body) for body in blocks(PAGE, "python")]
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "OAUTHLIB_"))
        }
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**clean, "PYTHONPATH": str(ROOT), "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}

    def here(self, text: str) -> str:
        return re.sub("|".join(PORTS), lambda found: self.ports[found[0]], text)

    def url(self, path: str) -> str:
        """The address of a page, which the page must name."""
        assert f"http://127.0.0.1:8000{path}" in PAGE.read_text()
        return self.here(f"http://127.0.0.1:8000{path}")

    def types(self, line: str) -> str:
        done = subprocess.run(
            line, shell=True, cwd=self.folder, env=self.environment, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        return done.stdout + done.stderr

    @contextmanager
    def leaves_running(self, line: str, port: str) -> Iterator[Path]:
        """A command in a terminal of its own, from the moment when its port answers; what it says is in the file."""
        said = self.folder / f"said-{port}"
        with said.open("w") as file:
            process = subprocess.Popen(
                f"exec {line}",
                shell=True,
                cwd=self.folder,
                env=self.environment | {"PYTHONUNBUFFERED": "1"},
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_for(lambda: answers(self.ports[port]), process, said)
            yield said
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(START_SECONDS)


def answers(port: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(port))) == 0


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[bytes], said: Path) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while not ready():
        assert process.poll() is None, said.read_text()
        assert time.monotonic() < give_up_at, said.read_text()
        time.sleep(0.05)


def token_of(page: str) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert found, page
    return found[1]


def connects(reader: Reader, browser: requests.Session) -> str:
    """Part 6 of the page, as a browser does it; the page of mailboxes at its end."""
    login = browser.get(reader.url("/mail/"))
    form = {"username": "ada", "password": "ada", "csrfmiddlewaretoken": token_of(login.text)}
    mine = browser.post(login.url, data=form, headers={"Referer": login.url})
    assert mine.url == reader.url("/mail/")
    assert "Connect Company mailbox" in mine.text
    start = re.search(r'action="(/mail/connect/company/)"', mine.text)
    assert start
    away = browser.post(
        mine.url.replace("/mail/", start[1]),
        data={"csrfmiddlewaretoken": token_of(mine.text)},
        headers={"Referer": mine.url},
        allow_redirects=False,
    )
    return browser.get(walk(away.headers["Location"], email="ada@example.com", deny=False, scopes=None)).text


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty directory that goes away: the settings in it hold the client's secret, as any site's do."""
    with tempfile.TemporaryDirectory(prefix="mail_oauth-tutorial-") as made:
        yield Path(made)
        for name in ("mailsite/settings.py", "said-9000"):  # where the page itself shows it
            Path(made, name).unlink(missing_ok=True)


def test_from_an_empty_directory_to_a_connected_mailbox(folder):
    pytest.importorskip("aiosmtpd", reason="aiosmtpd is not installed")
    reader = Reader(folder)
    installed, [make], [provider], [*prepare, serve], [*tries] = reader.consoles
    assert installed[-1] == 'pip install "mail-oauth[demo]"'
    reader.types(make)
    settings, views, urls = reader.files
    site = folder / "mailsite"
    (site / "views.py").write_text(views)
    for name, text in (("settings.py", settings), ("urls.py", urls)):
        with (site / name).open("a") as file:
            file.write(f"\n{text}")
    with reader.leaves_running(
        provider + reader.here(" --port 9000 --imap-port 9993 --smtp-port 9465"), "9000"
    ) as said:
        for line in prepare:
            reader.types(line)
        assert said.read_text() == reader.here(blocks(PAGE, "text")[0])
        with reader.leaves_running(f"{serve} --noreload 127.0.0.1:{reader.ports['8000']}", "8000"):
            browser = requests.Session()
            browser.trust_env = False
            page = connects(reader, browser)
            assert "ada@example.com" in page
            assert "Works" in page
            assert re.fullmatch(r"ada@example\.com has \d+ messages\.", browser.get(reader.url("/inbox/")).text)
            assert "Mailboxes" in browser.get(reader.url("/admin/")).text
            status, tested, refreshed = [reader.types(line) for line in tries]
            assert re.search(r"^company +connected +1", status, re.MULTILINE), status
            for step in ("IMAP  sign in", "SMTP  sign in", "SMTP  send"):
                assert f"✓ {step}" in tested
            assert "refreshed, expires" in refreshed
        browser.close()
    found = reader.types("python manage.py check --deploy || true")
    names = set(re.findall(r"`(mail_oauth\.[EW]\d+)`", PAGE.read_text()))
    assert set(re.findall(r"mail_oauth\.[EW]\d+", found)) == names
