"""Saves that arrive while another one is being committed are committed together, by one statement.

No save is held back for company: the first is taken at once, and what queues up behind it is the next group. So the
time between a reply and its commit grows by one commit at the most, while a busy process pays for one statement, one
round trip and one flush of the log where it had a dozen replies to save.

PostgreSQL only; elsewhere, and for whatever a group could not save, `Transitions` saves one by one.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from django.db import Error, connections

from mail_oauth.cache import token_cache
from mail_oauth.managers.records import Change, Claim, Records, alike
from mail_oauth.tokens import AccessToken, TokenSet

if TYPE_CHECKING:
    from mail_oauth.managers import MailCredentialsManager
    from mail_oauth.models import MailCredentials

logger = logging.getLogger(__name__)

MOST = 128
"""How many saves one statement carries."""

LOCK_TIMEOUT = "250ms"
"""How long a group waits for a row that somebody has locked, before its saves go their own ways."""


@dataclass(slots=True)
class Save(Change):
    """One pair to be saved.

    `saved` is None until it was tried: then whether the claim still held. It stays None if the group failed.
    """

    tokens: TokenSet
    saved: bool | None = None
    _done: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._done.acquire()

    @property
    def access_token(self) -> AccessToken:
        """The token that is published once it is saved."""
        issued_at, expires_at = self.changes["token_issued_at"], self.changes["token_expiry"]
        return self.tokens.lasting(issued_at, expires_at, generation=self.row.generation + 1)

    def wait(self) -> bool | None:
        """Wait until its group was committed; return `saved`."""
        self._done.acquire()
        return self.saved

    def finish(self) -> None:
        """Let the one who waits go on."""
        self._done.release()


class GroupCommit:
    """A thread that commits saves in groups, on one connection of its own."""

    def __init__(self, statements: Statements) -> None:
        """Start when the first save comes."""
        self._statements = statements
        self._waiting: SimpleQueue[Save | None] = SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    @classmethod
    def over(cls, manager: MailCredentialsManager) -> GroupCommit | None:
        """Return one that writes the rows of `manager`; None where its database has no statement for that."""
        using = manager.write_alias()
        if connections[using].vendor != "postgresql":
            return None
        return cls(Statements(manager.model, using))

    def save(self, save: Save) -> bool | None:
        """Save it with those that wait as well; True when saved, False when the claim was lost, None when not tried."""
        try:
            if self._thread is None:
                self._start()
        except RuntimeError:  # no thread can be started
            return None
        self._waiting.put(save)
        return save.wait()

    def close(self) -> None:
        """Commit what waits, and end the thread. Nobody saves through it any more."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="mail_oauth-commit")
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        try:
            while (first := self._waiting.get()) is not None:
                group = [first, *self._queued()]
                try:
                    self._commit(group)
                except Exception:  # whoever waits must go on, and so must this thread
                    about = {"action": "group_save", "outcome": "broken"}
                    logger.exception(
                        "a group of saves went wrong; what was not saved is saved one by one", extra=about
                    )
                finally:
                    for save in group:
                        save.finish()
        finally:
            self._statements.close()

    def _queued(self) -> Iterable[Save]:
        for _ in range(MOST - 1):
            try:
                save = self._waiting.get_nowait()
            except Empty:
                return
            if save is None:
                self._waiting.put(None)  # the end comes after this group
                return
            yield save

    def _commit(self, group: list[Save]) -> None:
        """Commit saves that change the same columns by one statement each time, then publish their tokens."""
        for saves in alike(group):
            try:
                saved = self._statements.save(saves)
            except Exception as error:  # noqa: BLE001  # each is saved by itself now, and has its own error raised
                logger.warning(
                    "a group of %d saves failed (%s): they are saved one by one",
                    len(saves),
                    type(error).__name__,
                    extra={"action": "group_save", "outcome": "failed"},
                )
                self._statements.close()
                continue
            for save in saves:
                save.saved = save.claim in saved
        token_cache.put_many({save.row.pk: save.access_token for save in group if save.saved})


class Statements:
    """The statement by which PostgreSQL saves a group, on a connection that waits for no lock for long."""

    def __init__(self, model: type[MailCredentials], using: str) -> None:
        """Write rows of `model`, and their events, through the connection of the thread that saves."""
        self._using = using
        self._records = Records(model, using)
        self._limited: Any = None

    def save(self, saves: list[Save]) -> set[Claim]:
        """Save rows of which the same columns change; return the claims that still held."""
        self._limit_lock_waits()
        return self._records.change(saves)

    def close(self) -> None:
        """Give the connection back as it was: a pool hands the same one to others. The next group takes another."""
        connection = connections[self._using]
        if self._limited is not None and connection.connection is self._limited:
            with contextlib.suppress(Error), connection.cursor() as cursor:  # one that broke takes it with it
                cursor.execute("RESET lock_timeout")
        self._limited = None
        connection.close()

    def _limit_lock_waits(self) -> None:
        """Make sure that a row which somebody has locked keeps nobody else's tokens from being saved."""
        connection = connections[self._using]
        connection.ensure_connection()
        if self._limited is not connection.connection:
            with connection.cursor() as cursor:
                cursor.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
            self._limited = connection.connection
