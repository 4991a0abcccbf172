"""The demo of the README as a process, in a directory and on ports of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.services.dovecot import free_ports

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60
STOP_SECONDS = 30


@dataclass
class Demo:
    """A running demo."""

    url: str
    provider_url: str
    directory: Path
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    def sign_in(self, page: Page, name: str) -> None:
        page.goto(f"{self.url}/login/")
        page.get_by_label("Username").fill(name)
        page.get_by_label("Password").fill(name)
        page.get_by_role("button", name="Sign in").click()

    def connect(self, page: Page, button: str = "Connect Microsoft mailbox", path: str = "/mail/") -> None:
        """Press the button and consent."""
        page.goto(self.url + path)
        page.get_by_role("button", name=button).click()
        page.get_by_role("button", name="Allow").click()

    def interrupt(self) -> int:
        """Press Ctrl-C; the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_SECONDS)

    def commands(self) -> list[str]:
        """The command lines of the processes that belong to this demo."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if f"DEMO_DIR={self.directory}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
        return found


@contextmanager
def running_demo(token_seconds: int = 120, *, services: bool = False) -> Iterator[Demo]:
    """Run `manage.py demo` until the block ends; with `services`, on the servers that the environment names."""
    port, provider_port, imap_port, smtp_port = free_ports(4)
    with tempfile.TemporaryDirectory(prefix="mail_oauth-demo-") as directory:
        arguments = [f"--port={port}", f"--provider-port={provider_port}", f"--token-seconds={token_seconds}"]
        arguments += [f"--imap-port={imap_port}", f"--smtp-port={smtp_port}"]
        environment = {**os.environ, "DEMO_DIR": directory, "DJANGO_SETTINGS_MODULE": "tests.browser.settings"}
        for inherited in () if services else ("DATABASE_URL", "REDIS_URL"):
            environment.pop(inherited, None)
        with (Path(directory) / "log").open("wb") as log:
            command = [sys.executable, str(ROOT / "manage.py"), "demo", *arguments]
            process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=log, stderr=log)
        demo = Demo(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{provider_port}", Path(directory), process)
        try:
            _wait_until_welcome(demo)
            yield demo
        finally:
            if process.poll() is None:
                demo.interrupt()


def _wait_until_welcome(demo: Demo) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while "Ctrl-C stops everything" not in demo.log:
        assert demo.process.poll() is None, demo.log
        assert time.monotonic() < give_up_at, demo.log
        time.sleep(0.1)
