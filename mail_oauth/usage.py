"""When mailboxes were last used, without a write at each read.

A process notes the mailboxes whose tokens it reads, each once in `NOTED_SECONDS`. What is new a thread writes to the
shared cache every few seconds, under ``{prefix}:used:{pk}`` as seconds since 1970; `upkeep.usage` brings it into the
database. A copy that is near is a few seconds old at most, so a hit there need not be noted. Marks are hints: a
cache that fails loses some.
"""

from __future__ import annotations

import atexit
import logging
import math
import os
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

from django.db import connections

from mail_oauth import bulk
from mail_oauth.cache import PK, cache_key, keyed_by_mailbox_alone, write_all
from mail_oauth.conf import app_settings

logger = logging.getLogger(__name__)

RESOURCE = "used"

NOTED_SECONDS = 600.0
"""For how long a process does not note the same mailbox again."""

NOTED_LIMIT = 100_000
"""How many mailboxes a process remembers that it has noted: some 15 MB."""

WRITE_SECONDS = 5.0
"""How often what is new is written."""

IDLE_ROUNDS = 12
"""After so many rounds with nothing to write the thread ends: to start one costs as much as a read."""

KEPT_SECONDS = 7 * 24 * 3600
"""How long a mark waits for reconciliation."""

_BATCH = 1000


class Uses:
    """The uses that this process has noted, and those of them that are not written yet."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.RLock()
        self._noted: dict[int, float] = {}
        self._new: dict[UUID, int] = {}
        self._writer: threading.Thread | None = None
        self._ending = threading.Event()

    def note(self, pk: UUID | str) -> None:
        """Note that a mailbox is used now; it costs next to nothing when it was noted lately."""
        pk = pk if isinstance(pk, UUID) else UUID(pk)
        now = time.monotonic()
        if now - self._noted.get(pk.int, -math.inf) < NOTED_SECONDS:
            return
        with self._lock:
            self._noted.pop(pk.int, None)
            self._noted[pk.int] = now
            if len(self._noted) > NOTED_LIMIT:
                del self._noted[next(iter(self._noted))]  # the one that was noted first
        self._mark(pk)

    def clear(self) -> None:
        """Forget what was noted, and what is not written yet."""
        with self._lock:
            self._noted.clear()
            self._new.clear()

    def finish(self, seconds: float = 2.0) -> None:
        """Have what is not written yet written now; wait for it, but no longer than that."""
        writer = self._writer
        if writer is not None:
            self._ending.set()
            writer.join(seconds)
            self._ending.clear()

    def _mark(self, pk: UUID) -> None:
        moment = int(time.time())
        if not keyed_by_mailbox_alone():
            _write({pk: moment})  # a KEY_FUNCTION knows whose mailbox it is in the caller's thread only
            return
        with self._lock:
            if len(self._new) < NOTED_LIMIT and self._writing():
                self._new[pk] = moment

    def _writing(self) -> bool:
        """Have a thread write what is new; False where none can be started any more, as the process ends."""
        if self._writer is None or not self._writer.is_alive():
            writer = threading.Thread(target=self._write_on, name="mail_oauth uses", daemon=True)
            try:
                writer.start()
            except RuntimeError:
                return False
            self._writer = writer
        return True

    def _write_on(self) -> None:
        idle = 0
        while True:
            self._ending.wait(WRITE_SECONDS)
            with self._lock:
                new, self._new = self._new, {}
                idle = 0 if new else idle + 1
                if idle > IDLE_ROUNDS or (idle and self._ending.is_set()):
                    self._writer = None
                    return
            if new:
                _write(new)
                connections.close_all()  # Django's database cache opened one


uses = Uses()
"""The uses of this process."""


def marks(pks: Sequence[PK]) -> dict[PK, datetime]:
    """Return when mailboxes were last used, as far as that is marked, in one round trip; raises what the cache raises."""
    now = int(time.time())
    found = bulk.values(app_settings().cache, cache_key("", RESOURCE), pks)
    moments = {pk: _moment(mark, now) for pk, mark in zip(pks, found, strict=True) if mark}
    return {pk: moment for pk, moment in moments.items() if moment is not None}


def _moment(mark: bytes, now: int) -> datetime | None:
    """Read a mark; None for what this app did not write. No clock is believed that is ahead."""
    if not mark.isdigit() or len(mark) > 12:
        return None
    return datetime.fromtimestamp(min(int(mark), now), UTC)


def _write(moments: Mapping[UUID, int]) -> None:
    try:
        values = [(cache_key(pk, RESOURCE), b"%d" % moment) for pk, moment in moments.items()]
        for begin in range(0, len(values), _BATCH):
            write_all(dict(values[begin : begin + _BATCH]), KEPT_SECONDS)
    except Exception as error:  # noqa: BLE001  # whatever a cache backend raises; who reads tokens tells of it
        about = {"action": "uses_lost", "cause": type(error).__name__}
        logger.debug("%d uses were not marked: %s", len(moments), type(error).__name__, extra=about)


def _forget_after_fork() -> None:
    """A child has none of its parent's threads; the parent writes what it has noted."""
    uses.__init__()  # type: ignore[misc]


os.register_at_fork(after_in_child=_forget_after_fork)
atexit.register(uses.finish)
