"""Saves that arrive while another one is being committed are committed together, by one statement.

No save is held back for company: the first is taken at once, and what queues up behind it is the next group. So the
time between a reply and its commit grows by one commit at the most, while a busy process pays for one statement, one
round trip and one flush of the log where it had a dozen replies to save.

PostgreSQL only; elsewhere, and for whatever a group could not save, `Transitions` saves one by one.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import Error, connections
from django.utils import timezone

from mail_oauth.cache import token_cache
from mail_oauth.conf import app_settings
from mail_oauth.managers.vocabulary import EventKind
from mail_oauth.tokens import AccessToken, TokenSet

if TYPE_CHECKING:
    from mail_oauth.managers import MailCredentialsManager
    from mail_oauth.models import MailCredentials

logger = logging.getLogger(__name__)

MOST = 128
"""How many saves one statement carries."""

Claim = tuple[UUID, str]
"""A row, and the owner of the lease on it."""

LOCK_TIMEOUT = "250ms"
"""How long a group waits for a row that somebody has locked, before its saves go their own ways."""


@dataclass(slots=True)
class Save:
    """One pair to be saved: the columns that change, and the event that tells of it.

    `saved` is None until it was tried: then whether the claim still held. It stays None if the group failed.
    """

    row: MailCredentials
    changes: dict[str, Any]
    kind: EventKind
    reason: str
    tokens: TokenSet
    saved: bool | None = None
    _done: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._done.acquire()

    @property
    def claim(self) -> Claim:
        """Under what it may be saved: of two that follow each other on one row, at most one still holds."""
        return self.row.pk, self.row.lease_owner

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
        alike: defaultdict[tuple[str, ...], list[Save]] = defaultdict(list)
        for save in group:
            alike[tuple(save.changes)].append(save)
        for saves in alike.values():
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
    """The statement by which PostgreSQL saves a group: compare-and-swap for each row, and their events."""

    def __init__(self, model: type[MailCredentials], using: str) -> None:
        """Write rows of `model`, and their events, through the connection of the thread that saves."""
        self._using = using
        self._columns: dict[str, Any] = {column.name: column for column in model._meta.concrete_fields}
        self._table = model._meta.db_table
        self._events = model._meta.get_field("events").related_model._meta.db_table
        self._made: dict[tuple[str, ...], str] = {}
        self._limited: Any = None

    def save(self, saves: list[Save]) -> set[Claim]:
        """Save rows of which the same columns change; return the claims that still held."""
        sql, now = self._sql(tuple(saves[0].changes)), timezone.now()
        given = json.dumps([self._given(save, now) for save in saves], default=_as_text)
        routine = EventKind.REFRESHED
        self._limit_lock_waits()
        with connections[self._using].cursor() as cursor:
            cursor.execute(sql, [given, len(saves), now, is_told(routine, ""), routine.value])
            return set(cursor.fetchall())

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

    def _given(self, save: Save, now: datetime) -> dict[str, Any]:
        """Return what a row must be like to be saved, its event, and its new values."""
        row, given = save.row, dict[str, Any](kind=save.kind, reason=save.reason[:64])
        given |= {"id": row.pk, "generation": row.generation, "lease_owner": row.lease_owner}
        return given | {f"new_{name}": self._prepared(name, value, now) for name, value in save.changes.items()}

    def _prepared(self, name: str, value: Any, now: datetime) -> Any:
        if name in _ON_THE_CLOCK:
            return None if value is None else value - now
        return self._columns[name].get_prep_value(value)

    def _sql(self, names: tuple[str, ...]) -> str:
        """Return the statement that changes these columns of any number of rows.

        All of them are one parameter, so that no placeholders have to be found in it for each. The LIMIT tells
        PostgreSQL how many they are, so that it looks up each by its key rather than reads a small table whole.
        """
        if names not in self._made:
            types = {"id": "uuid", "generation": "bigint", "lease_owner": "text", "kind": "text", "reason": "text"}
            types |= {f"new_{name}": self._type(name) for name in names}
            columns = ", ".join(f"{name} {type_}" for name, type_ in types.items())
            assigned = ", ".join(f"{name} = {_ON_THE_CLOCK.get(name, '')}given.new_{name}" for name in names)
            self._made[names] = (
                f"WITH given AS (SELECT * FROM json_to_recordset(%s::json) AS each ({columns}) LIMIT %s), "  # noqa: S608  # our own columns' names
                f"saved AS (UPDATE {self._table} AS stored SET {assigned}, generation = stored.generation + 1 "
                "FROM given WHERE stored.id = given.id AND stored.generation = given.generation "
                "AND stored.lease_owner = given.lease_owner "
                "RETURNING stored.id, stored.generation, given.lease_owner, given.kind, given.reason), "
                # The events of those that were saved, as `is_told` says.
                f"told AS (INSERT INTO {self._events} (credentials_id, created_at, kind, reason, generation) "
                "SELECT id, %s, kind, reason, generation FROM saved WHERE %s OR kind <> %s OR reason <> '') "
                "SELECT id, lease_owner FROM saved"
            )
        return self._made[names]

    def _type(self, name: str) -> str:
        if name in _ON_THE_CLOCK:
            return "interval"
        return str(self._columns[name].db_type(connections[self._using]))


def _as_text(value: UUID | datetime | timedelta) -> str:
    """Return what PostgreSQL reads as a value for which JSON has no form."""
    if isinstance(value, timedelta):
        return f"{value.total_seconds():f} seconds"
    return value.isoformat() if isinstance(value, datetime) else str(value)


_ON_THE_CLOCK = {"refresh_at": "STATEMENT_TIMESTAMP() + "}
"""Columns that are kept by the database's clock: they are told as a distance from now."""


def is_told(kind: EventKind, reason: str) -> bool:
    """Tell whether the history has room for an event: not for routine, if `REFRESH_EVENT_DAYS` is 0."""
    return kind != EventKind.REFRESHED or bool(reason) or app_settings().refresh_event_days > 0
