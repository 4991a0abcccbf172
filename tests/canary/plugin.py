"""The watch of the whole run: what was written in it, by any process, holds no secret that anybody was given.

It is on in every run of pytest (`-p no:tests.canary.plugin` leaves it out). The process that begins a run searches at
its end all that it and its children wrote, and a finding fails the run. Nothing is caught of what is printed under
`-s`, which pytest does not see.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from mail_oauth.testing.recorder import SECRETS_FILE
from tests.canary import places, taps
from tests.canary.spool import WATCH
from tests.canary.verdict import Verdict, look_through


class Watch:
    """One run's, held by the process that begins it."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="mail_oauth-canary-"))
        self.temporary: list[Path] = []
        self.tests = ""
        self.verdict: Verdict | None = None
        os.environ[WATCH] = str(self.directory)
        os.environ[SECRETS_FILE] = str(self.directory / "secrets-providers")

    def end(self) -> Verdict:
        """Look through everything."""
        existing = [place for place in self.temporary if place.exists()]
        self.verdict = look_through(self.directory, existing, self.tests)
        return self.verdict

    def remove(self) -> None:
        del os.environ[WATCH], os.environ[SECRETS_FILE]
        shutil.rmtree(self.directory, ignore_errors=True)


KEY = pytest.StashKey[Watch]()


def pytest_configure(config: pytest.Config) -> None:
    if not os.environ.get(WATCH):  # else this is a child of the run, as a worker of pytest-xdist is
        config.stash[KEY] = Watch()
    taps.install(buffered=True)
    if taps.spool is not None:
        places.tap(taps.spool)


@pytest.fixture(scope="session", autouse=True)
def watched_places(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The tests' temporary files are looked through too, at the end."""
    if watch := request.config.stash.get(KEY, None):
        watch.temporary.append(tmp_path_factory.getbasetemp())


def pytest_collection_finish(session: pytest.Session) -> None:
    if watch := session.config.stash.get(KEY, None):
        watch.tests = "\n".join(item.nodeid for item in session.items)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """What a test, and what it tested, have printed."""
    if taps.spool is not None:
        for title, text in report.sections:
            if title.startswith(("Captured stdout", "Captured stderr")):
                taps.spool.write("output", text, report.nodeid)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if taps.spool is not None:
        taps.spool.flush()
    watch = session.config.stash.get(KEY, None)
    if watch is None or not (verdict := watch.end()).findings:
        return
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
        watch.remove()
