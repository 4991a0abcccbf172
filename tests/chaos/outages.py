"""Databases that are away for a while, and replies that wait for that at the provider."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

from mail_oauth.testing.faults import Fault
from mail_oauth.testing.messages import Reply
from mail_oauth.testing.provider import FakeProvider
from tests.chaos.rig import Nursery, Rig
from tests.services import Postgres
from tests.worker.stack import wait_until

Outage = Callable[[Rig, Nursery], AbstractContextManager[None]]


class Gate:
    """Holds replies back: their refresh tokens are replaced at the provider, and nobody else knows yet."""

    def __init__(self) -> None:
        self.held = 0
        self._lock = threading.Lock()
        self._opened = threading.Event()

    @contextmanager
    def at(self, provider: FakeProvider) -> Iterator[None]:
        """Stand before the provider's token endpoint, and be open in the end whatever happens."""
        try:
            with provider.fault(replace(Fault.slow(0), name="gate", transform=self._hold)):
                yield
        finally:
            self.open()

    def open(self) -> None:
        self._opened.set()

    def wait_for(self, number: int, nursery: Nursery) -> None:
        wait_until(lambda: self.held == number, 60, lambda: f"{self.held} of {number}: {nursery.events('error')}")

    def _hold(self, reply: Reply) -> Reply:
        with self._lock:
            self.held += 1
        self._opened.wait(60)
        return reply


@contextmanager
def killed(rig: Rig, nursery: Nursery) -> Iterator[None]:
    """PostgreSQL crashes, and recovers."""
    yield from _down(rig, signal.SIGKILL)


@contextmanager
def shut_down(rig: Rig, nursery: Nursery) -> Iterator[None]:
    """PostgreSQL is stopped by its operator without waiting for clients."""
    yield from _down(rig, signal.SIGINT)


@contextmanager
def frozen(rig: Rig, nursery: Nursery) -> Iterator[None]:
    """PostgreSQL, all of it, answers nothing: a stalled disk, a paused virtual machine."""
    assert rig.postgres is not None
    assert rig.postgres.process is not None
    pids = _family(rig.postgres.process.pid)
    _signal(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(pids, signal.SIGCONT)


@contextmanager
def locked(rig: Rig, nursery: Nursery) -> Iterator[None]:
    """SQLite is locked by another process."""
    locker = nursery.fork("hold_lock")
    wait_until(lambda: bool([event for event in nursery.events("locked") if event.pid == locker]), 60)
    nursery.pids.remove(locker)
    try:
        yield
    finally:
        os.kill(locker, signal.SIGTERM)


def _down(rig: Rig, how: signal.Signals) -> Iterator[None]:
    server = rig.postgres
    assert server is not None
    assert server.process is not None
    server.process.send_signal(how)
    server.process.wait(30)
    rig.let_go()
    try:
        yield
    finally:
        _start_again(server)


def _start_again(server: Postgres) -> None:
    """Start it; while the processes of one that was killed still end, it refuses."""
    for _ in range(20):
        with contextlib.suppress(RuntimeError):
            server.start()
            return
    server.start()


def _family(pid: int) -> list[int]:
    """A process and its children."""
    found = [pid]
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


def _signal(pids: list[int], what: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, what)
