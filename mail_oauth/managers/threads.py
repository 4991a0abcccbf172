"""Threads that wait a while for more work, so that one database connection serves many pieces of it."""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue

from django.db import Error, close_old_connections, connections

from mail_oauth.conf import app_settings

Work = Callable[[], object]
logger = logging.getLogger(__name__)

IDLE_SECONDS = 20.0
"""How long a thread waits for more work before it ends; so long its connection stays open, if `CONN_MAX_AGE` lets it."""

FAREWELL_SECONDS = 2.0
"""How long idle threads are waited for that were told to end: all they have to do is to close their connections."""


class Threads:
    """Daemon threads, as many as there is work for at once: whoever gives it has to bound that.

    Each piece of work is to its thread what a request is to Django: before and after it, connections that broke or
    have lived for `CONN_MAX_AGE` are closed, and what it does to context variables ends with it. The thread that was
    idle for the shortest time gets the next, so that no more of them stay than are needed.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self._lock = threading.Lock()
        self._threads: set[_Thread] = set()
        self._idle: list[_Thread] = []

    def run(self, work: Work) -> None:
        """Do `work`, which raises nothing, in an idle thread or a new one; `RuntimeError` where none can be started."""
        with self._lock:
            thread = self._idle.pop() if self._idle else None
            if thread is not None:
                thread.inbox.put(work)
                return
            thread = _Thread(self)
            self._threads.add(thread)
        thread.inbox.put(work)
        try:
            thread.start()
        except RuntimeError:
            self._forget(thread)
            raise

    def dismiss(self, seconds: float = 0.0) -> None:
        """Have every thread end with what it does now; wait for idle ones, and so long for those at work."""
        with self._lock:
            idle, everyone = self._idle, list(self._threads)
            self._idle = []
            for thread in everyone:
                thread.is_leaving = True
        for thread in idle:
            thread.inbox.put(None)
        _join(idle, FAREWELL_SECONDS)
        _join(everyone, seconds)

    def __len__(self) -> int:
        """Count the threads, idle ones too."""
        return len(self._threads)

    def _next(self, thread: _Thread) -> Work | None:
        """Return what a thread does next, waiting for it; None when it ends."""
        most = app_settings().background_threads
        with self._lock:
            if thread.is_leaving or len(self._idle) >= most:
                return None
            self._idle.append(thread)
        try:
            return thread.inbox.get(timeout=IDLE_SECONDS)
        except Empty:
            with self._lock:
                if thread in self._idle:
                    self._idle.remove(thread)
                    return None
            return thread.inbox.get()  # it was promised something in the last moment

    def _forget(self, thread: _Thread) -> None:
        with self._lock:
            self._threads.discard(thread)


class _Thread(threading.Thread):
    """One of them; what comes into its inbox is done, and None ends it."""

    def __init__(self, threads: Threads) -> None:
        super().__init__(name="mail_oauth", daemon=True)
        self.inbox: SimpleQueue[Work | None] = SimpleQueue()
        self.is_leaving = False
        self._others = threads

    def run(self) -> None:
        """Work until nothing comes."""
        try:
            work = self.inbox.get()
            while work is not None:
                _tidy()
                contextvars.Context().run(work)
                del work  # it may hold a token
                _tidy()
                work = self._others._next(self)
        finally:
            self._others._forget(self)
            connections.close_all()


def _tidy() -> None:
    try:
        close_old_connections()
    except Error as error:  # that connection is gone in any case, and the work must be done
        about = {"action": "connection_lost"}
        logger.warning("a connection could not be closed: %s", type(error).__name__, extra=about)


def _join(threads: Iterable[threading.Thread], seconds: float) -> None:
    give_up_at = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(give_up_at - time.monotonic(), 0.0))
