"""The tokens that this process gave out a moment ago, in clear: what is asked for again is there at once.

A copy is younger than `NEAR_CACHE_SECONDS`, counted from before its source was asked, and is dropped by whatever
this process does to its mailbox. Of what another process does it learns no earlier than it grows old: that is
how long a token is still given out after a disconnect elsewhere. Nothing leaves the process, a forked child
begins with nothing, and a copy that is over is erased within `PURGE_SECONDS`, also if nobody asks again.
"""

from __future__ import annotations

import heapq
import math
import os
import threading
import time
from collections import OrderedDict
from typing import Any, NamedTuple
from uuid import UUID

from django.core.signals import setting_changed

from mail_oauth.conf import app_settings
from mail_oauth.tokens import AccessToken

PURGE_SECONDS = 0.1
"""How often what is over is erased."""

IDLE_ROUNDS = 100
"""After so many rounds with nothing kept the thread ends: to start one costs as much as a read."""

_SLOTS = 1024
_SETTINGS = {"MAIL_OAUTH", "CACHES", "FERNET_KEYS", "FERNET_USE_HKDF", "SECRET_KEY"}


class Look(NamedTuple):
    """When a reader began to look for a token elsewhere, and how often its mailbox was changed before that."""

    at: float
    turn: int


class _Entry(NamedTuple):
    until: float
    token: AccessToken


class NearCopies:
    """Access tokens by mailbox; at most `NEAR_CACHE_SIZE`, of which the one unused for longest goes first."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.RLock()
        self._entries: OrderedDict[int, _Entry] = OrderedDict()
        self._ends: list[tuple[float, int]] = []  # a heap of when entries are over; those of dropped ones as well
        self._turns = [0] * _SLOTS
        self._cleared = 0  # how often: it counts as a turn of every mailbox
        self._purger: threading.Thread | None = None

    def get(self, pk: UUID) -> AccessToken | None:
        """Return the copy, which needs no refresh yet; None when there is none."""
        entries = self._entries
        try:  # without the lock, which would double the cost: each of the two steps is atomic
            until, token = entries[pk.int]
            if until <= time.monotonic():
                return None
            entries.move_to_end(pk.int)
        except (KeyError, AttributeError):  # dropped by another thread between them; or a key in text
            return None
        return token

    def look(self, pk: UUID | str) -> Look:
        """Note that a token is going to be looked for elsewhere; `keep` wants to know since when."""
        return Look(time.monotonic(), self._turn(_key(pk)))

    def keep(self, pk: UUID | str, token: AccessToken, look: Look, seconds: float) -> None:
        """Keep a token that was found since `look`, for `seconds` at the most.

        Not if the mailbox was changed meanwhile: what was found may be what it was before.
        """
        settings, key, now = app_settings(), _key(pk), time.monotonic()
        until = min(look.at + settings.near_cache_seconds, now + seconds)
        if until <= now or settings.near_cache_size < 1:
            return
        with self._lock:
            held = self._entries.get(key)
            newer = held is not None and held.token.generation > token.generation
            if newer or self._turn(key) != look.turn or not self._purging():
                return
            self._entries[key] = _Entry(until, token)
            self._entries.move_to_end(key)
            while len(self._entries) > settings.near_cache_size:
                self._entries.popitem(last=False)
            self._note_end(until, key)

    def outdate(self, pk: UUID | str, generation: float) -> None:
        """Drop a copy that is older than `generation`, and whatever readers find who are looking just now."""
        key = _key(pk)
        with self._lock:
            held = self._entries.get(key)
            if held is None or held.token.generation < generation:
                self._entries.pop(key, None)
                self._turns[key % _SLOTS] += 1

    def drop(self, pk: UUID | str) -> None:
        """Drop a copy of any generation."""
        self.outdate(pk, math.inf)

    def clear(self) -> None:
        """Drop all."""
        with self._lock:
            self._entries.clear()
            self._ends.clear()
            self._cleared += 1

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self)} tokens, hidden>"

    def _turn(self, key: int) -> int:
        return self._turns[key % _SLOTS] + self._cleared  # neither ever falls

    def _purging(self) -> bool:
        """Have a thread erase what is over; False where none can be started any more, as the process ends."""
        if self._purger is None or not self._purger.is_alive():
            purger = threading.Thread(target=self._purge_on, name="mail_oauth near copies", daemon=True)
            try:
                purger.start()
            except RuntimeError:
                return False
            self._purger = purger
        return True

    def _purge_on(self) -> None:
        pause = threading.Event()  # not time.sleep(), which a site's own tests may replace for everybody
        idle = 0
        while True:
            pause.wait(PURGE_SECONDS)
            with self._lock:
                self._purge()
                idle = 0 if self._entries else idle + 1
                if idle > IDLE_ROUNDS:
                    self._purger = None
                    return

    def _note_end(self, until: float, key: int) -> None:
        heapq.heappush(self._ends, (until, key))
        if len(self._ends) > 2 * len(self._entries) + 100:
            kept = self._entries.copy()  # at one go: readers move entries meanwhile
            self._ends = [(entry.until, key) for key, entry in kept.items()]
            heapq.heapify(self._ends)

    def _purge(self) -> None:
        now = time.monotonic()
        while self._ends and self._ends[0][0] <= now:
            _, key = heapq.heappop(self._ends)
            entry = self._entries.get(key)
            if entry is not None and entry.until <= now:
                del self._entries[key]


near_copies = NearCopies()
"""The one store of this process."""


def _key(pk: UUID | str) -> int:
    """Return what a copy is kept under: hashed and compared without a line of Python, unlike a UUID."""
    if isinstance(pk, UUID):
        return pk.int
    try:
        return UUID(str(pk)).int
    except ValueError:  # names no mailbox: whoever looks for its row will say so
        return 0


def _forget_after_fork() -> None:
    """A child has none of its parent's threads, and perhaps a lock that one of them held."""
    near_copies.__init__()  # type: ignore[misc]


os.register_at_fork(after_in_child=_forget_after_fork)


def _forget(*, setting: str, **_: Any) -> None:
    if setting in _SETTINGS:
        near_copies.clear()


setting_changed.connect(_forget, dispatch_uid="mail_oauth.near")
