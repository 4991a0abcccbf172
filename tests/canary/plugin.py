"""The watch of the whole run: what was written in it, by any process, holds no secret that anybody was given.

It is on in every run of pytest (`-p no:tests.canary.plugin` leaves it out). The process that begins the run searches
at its end all that it and its children wrote; a finding fails the run.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mail_oauth.testing.recorder import SECRETS_FILE
from tests.canary import taps
from tests.canary.places import tap_what_pytest_sees, tap_what_tests_remove
from tests.canary.spool import WATCH
from tests.canary.verdict import Verdict, look_through


class Watch:
    """One run's."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="mail_oauth-canary-"))
        self.temporary: Path | None = None
        self.tests = ""
        self.verdict: Verdict | None = None
        os.environ[WATCH] = str(self.directory)
        os.environ[SECRETS_FILE] = str(self.directory / "secrets-providers")

    def end(self) -> Verdict:
        """Look through everything, and remove it."""
        assert taps.spool is not None
        taps.spool.flush()
        places = [self.temporary] if self.temporary and self.temporary.exists() else []
        self.verdict = look_through(self.directory, places, self.tests)
        os.environ.get("CANARY_KEEP") or shutil.rmtree(self.directory)
        return self.verdict


def pytest_configure(config: pytest.Config) -> None:
    if not os.environ.get(WATCH):  # else this is a child of the run, as a worker of pytest-xdist is
        config.stash[KEY] = Watch()
    taps.install(buffered=True)
    if taps.spool is not None:
        tap_what_pytest_sees(taps.spool)
        tap_what_tests_remove(taps.spool)


KEY = pytest.StashKey[Watch]()


@pytest.fixture(scope="session", autouse=True)
def watched_places(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests' temporary files are looked through too, at the end."""
    if watch := request.config.stash.get(KEY, None):
        watch.temporary = tmp_path_factory.getbasetemp()
    yield


def pytest_collection_finish(session: pytest.Session) -> None:
    if watch := session.config.stash.get(KEY, None):
        watch.tests = "\n".join(item.nodeid for item in session.items)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """What a test and what it tested have printed."""
    if taps.spool is not None:
        for title, text in report.sections:
            if title.startswith(("Captured stdout", "Captured stderr")):
                taps.spool.write("output", f"{report.nodeid}\n{text}")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    watch = session.config.stash.get(KEY, None)
    if watch is None:
        if taps.spool is not None:
            taps.spool.flush()
        return
    verdict = watch.end()
    if verdict.findings:
        report = pytest.TestReport(
            nodeid="tests/canary",
            location=("tests/canary/plugin.py", None, "the watch"),
            keywords={},
            outcome="failed",
            longrepr="\n".join(verdict.told()),
            when="teardown",
        )
        session.config.hook.pytest_runtest_logreport(report=report)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    watch = config.stash.get(KEY, None)
    if watch is not None and watch.verdict is not None:
        terminalreporter.write_line(watch.verdict.summary())


def pytest_unconfigure(config: pytest.Config) -> None:
    if watch := config.stash.get(KEY, None):
        os.environ.get("CANARY_KEEP") or shutil.rmtree(watch.directory, ignore_errors=True)


__all__ = ["Counter"]
