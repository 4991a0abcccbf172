"""Statements by which PostgreSQL writes many rows at once, each with its event.

All rows are one parameter, as JSON: no placeholder has to be found, and no value quoted, for each.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from django.db import connections, models
from django.utils import timezone

from mail_oauth.conf import app_settings
from mail_oauth.managers.vocabulary import EventKind

if TYPE_CHECKING:
    from mail_oauth.models import MailCredentials

Claim = tuple[UUID, str]
"""A row, and the owner of the lease on it."""


@dataclass(slots=True)
class Change:
    """What changes of a row beside its generation, which is raised, and the event that tells of it."""

    row: MailCredentials
    changes: dict[str, Any]
    kind: EventKind
    reason: str

    @property
    def claim(self) -> Claim:
        """Under what it may be made: of two that follow each other on one row, at most one still holds."""
        return self.row.pk, self.row.lease_owner


AnyChange = TypeVar("AnyChange", bound=Change)


def alike(changes: Iterable[AnyChange]) -> Collection[list[AnyChange]]:
    """Part changes by the columns that change: those of the same are made by one statement."""
    parts: defaultdict[tuple[str, ...], list[AnyChange]] = defaultdict(list)
    for change in changes:
        parts[tuple(change.changes)].append(change)
    return parts.values()


class Records:
    """The statements for rows of one model."""

    def __init__(self, model: type[MailCredentials], using: str) -> None:
        """Write rows of `model`, and their events, to the database `using`, which is a PostgreSQL."""
        self._using = using
        self._columns: dict[str, Any] = {column.name: column for column in model._meta.concrete_fields}
        self._prepared = [column for column in self._columns.values() if type(column) not in _AS_THEY_ARE]
        self._table = model._meta.db_table
        self._events = model._meta.get_field("events").related_model._meta.db_table
        self._made: dict[tuple[str, ...], str] = {}

    def change(self, changes: Sequence[Change]) -> set[Claim]:
        """Change rows by compare-and-swap, all in the same columns; return the claims that still held."""
        sql, now = self._changing(tuple(changes[0].changes)), timezone.now()
        given = _as_json(self._changed(each, now) for each in changes)
        routine = EventKind.REFRESHED
        with connections[self._using].cursor() as cursor:
            cursor.execute(sql, [given, len(changes), now, is_told(routine, ""), routine.value])
            return set(cursor.fetchall())

    def create(self, rows: Iterable[MailCredentials], kind: EventKind, reason: str) -> None:
        """Store new rows; their `refresh_at` is by the database's clock already. Raises `IntegrityError`."""
        given = _as_json(self._new(row) for row in rows)
        with connections[self._using].cursor() as cursor:
            cursor.execute(self._creating(), [given, timezone.now(), kind.value, reason[:64]])

    def _changed(self, change: Change, now: datetime) -> dict[str, Any]:
        """Return what a row must be like to be changed, its event, and its new values."""
        row, given = change.row, dict[str, Any](kind=change.kind, reason=change.reason[:64])
        given |= {"id": row.pk, "generation": row.generation, "lease_owner": row.lease_owner}
        return given | {f"new_{name}": self._new_value(name, value, now) for name, value in change.changes.items()}

    def _new_value(self, name: str, value: Any, now: datetime) -> Any:
        if name in _ON_THE_CLOCK:
            return None if value is None else value - now
        return self._columns[name].get_prep_value(value)

    def _new(self, row: MailCredentials) -> dict[str, Any]:
        """Return the columns of a row that is not stored yet."""
        values = {column.column: column.pre_save(row, True) for column in self._columns.values()}
        return values | {column.column: column.get_prep_value(values[column.column]) for column in self._prepared}

    def _changing(self, names: tuple[str, ...]) -> str:
        """Return the statement that changes these columns of any number of rows.

        The LIMIT tells PostgreSQL how many they are, so that it looks up each by its key rather than reads a small table
        whole.
        """
        if names not in self._made:
            types = {"id": "uuid", "generation": "bigint", "lease_owner": "text", "kind": "text", "reason": "text"}
            types |= {f"new_{name}": self._type(name) for name in names}
            assigned = ", ".join(f"{name} = {_ON_THE_CLOCK.get(name, '')}given.new_{name}" for name in names)
            self._made[names] = (
                f"WITH given AS ({_read(types)} LIMIT %s), "  # noqa: S608  # our own columns' names
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

    def _creating(self) -> str:
        """Return the statement that stores any number of new rows; they all come in the same way."""
        columns = self._columns.values()
        types = {column.column: str(column.db_type(connections[self._using])) for column in columns}
        return (
            f"WITH saved AS (INSERT INTO {self._table} ({', '.join(types)}) {_read(types)} "  # noqa: S608  # our own columns' names
            f"RETURNING id, generation) INSERT INTO {self._events} (credentials_id, created_at, kind, reason, generation) "
            "SELECT id, %s, %s, %s, generation FROM saved"
        )

    def _type(self, name: str) -> str:
        if name in _ON_THE_CLOCK:
            return "interval"
        return str(self._columns[name].db_type(connections[self._using]))


def _read(types: dict[str, str]) -> str:
    """Return the query that makes rows of the parameter."""
    columns = ", ".join(f"{name} {type_}" for name, type_ in types.items())
    return f"SELECT {', '.join(types)} FROM json_to_recordset(%s::json) AS each ({columns})"  # noqa: S608  # our own columns' names


def _as_json(rows: Iterable[dict[str, Any]]) -> str:
    return json.dumps(list(rows), default=_as_text)


def _as_text(value: UUID | datetime | timedelta) -> str:
    """Return what PostgreSQL reads as a value for which JSON has no form."""
    if isinstance(value, timedelta):
        return f"{value.total_seconds():f} seconds"
    return value.isoformat() if isinstance(value, datetime) else str(value)


_AS_THEY_ARE = {
    *(models.BooleanField, models.CharField, models.DateTimeField, models.EmailField, models.TextField),
    *(models.PositiveBigIntegerField, models.PositiveIntegerField, models.UUIDField),
}
"""Fields whose values PostgreSQL reads as they are: of a new row they need not be prepared, which took half the time."""

_ON_THE_CLOCK = {"refresh_at": "STATEMENT_TIMESTAMP() + "}
"""Columns that are kept by the database's clock: they are told as a distance from now."""


def is_told(kind: EventKind, reason: str) -> bool:
    """Tell whether the history has room for an event: not for routine, if `REFRESH_EVENT_DAYS` is 0."""
    return kind != EventKind.REFRESHED or bool(reason) or app_settings().refresh_event_days > 0
