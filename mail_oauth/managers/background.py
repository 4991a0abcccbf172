"""Work outside the caller's transaction, and refreshes that run behind a caller."""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import logging
import os
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar, cast

from django.db import OperationalError, connections

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import TransactionHeld
from mail_oauth.managers.threads import Threads
from mail_oauth.managers.transitions import only_test_transactions

T = TypeVar("T")
logger = logging.getLogger(__name__)
threads = Threads()

_LOCK_WAITS = {
    "postgresql": ("SET lock_timeout = '1s'", "RESET lock_timeout"),
    "mysql": ("SET SESSION innodb_lock_wait_timeout = 1", "SET SESSION innodb_lock_wait_timeout = DEFAULT"),
}
_LOCKED = {"55P03", 1205}
"""PostgreSQL's lock_not_available, and ER_LOCK_WAIT_TIMEOUT."""


def outside_transaction(using: str, work: Callable[[], T]) -> T:
    """Run `work` where its writes are committed at once, whatever transaction the caller has open.

    Inside a caller's `atomic()` that is another thread, which has a connection of its own. Raises
    `TransactionHeld` on SQLite, where a second writer would wait for the caller for ever; elsewhere after
    a second, if a row is locked, for it may be the waiting caller that locked it.
    """
    if only_test_transactions(using):
        return work()
    if connections[using].vendor == "sqlite":
        raise TransactionHeld(
            "A token must be refreshed, but SQLite has one writer and this transaction holds it: "
            "call get_access_token() before transaction.atomic() (ATOMIC_REQUESTS: use non_atomic_requests)."
        )
    future: Future[T] = Future()
    context = contextvars.copy_context()
    threads.run(lambda: context.run(_fulfil, future, lambda: _limiting_lock_waits(using, work)))
    try:
        return future.result(timeout=app_settings().wait_timeout + app_settings().total_timeout)
    except FutureTimeout:
        raise TransactionHeld(
            "A token could not be refreshed while this transaction was open; if it locked the mailbox's row, "
            "call get_access_token() before that."
        ) from None


def _limiting_lock_waits(using: str, work: Callable[[], T]) -> T:
    """Run `work` on this thread's own connection, on which a statement waits a second for a lock, no longer."""
    limit, reset = _LOCK_WAITS.get(connections[using].vendor, ("", ""))
    if not limit:
        return work()
    _execute(using, limit)
    try:
        return work()
    except OperationalError as error:
        if not _is_lock_wait(error):
            raise
        raise TransactionHeld(
            "The mailbox's row is locked, by this transaction or another: call get_access_token() (refresh_now(), "
            "disconnect() …) before select_for_update() or a change of the row, or outside transaction.atomic()."
        ) from error
    finally:
        with contextlib.suppress(Exception):  # a connection that broke takes its settings with it
            _execute(using, reset)  # a pool hands the same one to others


def _is_lock_wait(error: OperationalError) -> bool:
    return bool(_LOCKED & {getattr(error.__cause__, "sqlstate", None), *error.args[:1]})


def _execute(using: str, statement: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute(statement)


def own_connection_possible(using: str) -> bool:
    """Tell whether a thread of this process could write now, with its own connection, what the caller sees."""
    connection = connections[using]
    if connection.vendor == "sqlite":
        return not connection.in_atomic_block and not cast(Any, connection).is_in_memory_db()
    return not connection.in_atomic_block or not only_test_transactions(using)


class Behind:
    """Refreshes behind callers: at most one per mailbox, and `BACKGROUND_THREADS` in this process."""

    REMEMBERED = 10_000

    def __init__(self) -> None:
        """Start with nothing running."""
        self._lock = threading.Lock()
        self._running: set[Hashable] = set()
        self._tried_at: dict[Hashable, float] = {}

    def tried_lately(self, key: Hashable) -> bool:
        """Tell whether this process did something for `key` within `BACKOFF_BASE`; if not, note that it does.

        Every read of a token inside its margin comes here, and only the first may cost a query.
        """
        now = time.monotonic()
        with self._lock:
            if now - self._tried_at.get(key, float("-inf")) < app_settings().backoff_base:
                return True
            if len(self._tried_at) >= self.REMEMBERED:
                self._tried_at.clear()
            self._tried_at[key] = now
        return False

    def submit(self, key: Hashable, work: Callable[[], object]) -> bool:
        """Run `work` in a daemon thread; False when too many run already, or none can be started."""
        with self._lock:
            if key in self._running:
                return True
            if len(self._running) >= app_settings().background_threads:
                return False
            self._running.add(key)
        try:
            threads.run(lambda: self._run(key, work))
        except RuntimeError:  # the interpreter ends, or the system has no thread left
            self._end(key)
            return False
        return True

    def _run(self, key: Hashable, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception:
            logger.exception("refresh behind a caller failed", extra={"action": "refresh", "mailbox": str(key)})
        finally:
            self._end(key)

    def _end(self, key: Hashable) -> None:
        with self._lock:
            self._running.discard(key)


behind = Behind()


def _forget_threads() -> None:
    """A forked child has none of its parent's threads."""
    threads.__init__()  # type: ignore[misc]
    behind.__init__()  # type: ignore[misc]


# Idle threads end before a fork: in the child, nobody would own their connections, of which the parent's end is one.
os.register_at_fork(before=threads.dismiss, after_in_child=_forget_threads)


@atexit.register
def _finish_refreshes() -> None:
    """Daemon threads end with the interpreter, wherever they are: a reply that came must be saved before."""
    if len(threads):
        threads.dismiss(app_settings().total_timeout)


def _fulfil(future: Future[T], work: Callable[[], T]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001  # the caller waits for it, and gets it raised
        future.set_exception(error)
