"""Mailboxes that come by the hundred, by an import: new ones, and newer tokens of such as are here.

What `Transitions` does for one is done for many, with as few statements as can be: the same compare-and-swap for each, an
event for each, and once all is committed the signals. On PostgreSQL one statement does it (`managers.records`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connections, transaction

from mail_oauth.managers.columns import name_status
from mail_oauth.managers.episodes import follow
from mail_oauth.managers.records import Change, Records, alike
from mail_oauth.managers.transitions import Transitions, after_commit
from mail_oauth.managers.vocabulary import EventKind

if TYPE_CHECKING:
    from mail_oauth.models import MailCredentials


def create_many(
    transitions: Transitions, rows: Sequence[MailCredentials], kind: EventKind, *, reason: str
) -> None:
    """Store new mailboxes, all or none; their `refresh_at` is by the database's clock already.

    Raises `IntegrityError` when one of them stands there already. Tokens are not published.
    """
    if not rows:
        return
    with transaction.atomic(using=transitions.using, savepoint=False):
        records = _records(transitions)
        if records is None:
            transitions.manager.using(transitions.using).bulk_create(rows)
            _record(transitions, [(row, row.generation) for row in rows], kind, reason)
        else:
            records.create(rows, kind, reason)
    for row in rows:
        row._state.adding, row._state.db = False, transitions.using
    _tell(transitions, {row: row.status for row in rows}, kind, reason)


def apply_many(
    transitions: Transitions,
    changed: Mapping[MailCredentials, dict[str, Any]],
    kind: EventKind,
    *,
    reason: str,
) -> set[UUID]:
    """Change rows, each if its generation and lease are still those that were read.

    Return the primary keys of those that were changed.
    """
    if not changed:
        return set()
    with transaction.atomic(using=transitions.using, savepoint=False):
        saved = _swapped(transitions, changed, kind, reason)
        for row in saved:
            follow(transitions.using, row, kind, changed[row]["status"])
    before = {row: row.status for row in saved}
    for row in saved:
        for name, value in {**changed[row], "generation": row.generation + 1}.items():
            setattr(row, name, value)
    _tell(transitions, before, kind, reason)
    return {row.pk for row in saved}


def _swapped(
    transitions: Transitions, changed: Mapping[MailCredentials, dict[str, Any]], kind: EventKind, reason: str
) -> list[MailCredentials]:
    """Write changes, and the events of those that were written; the rows in hand stay as they are."""
    records = _records(transitions)
    if records is None:
        saved = [row for row, changes in changed.items() if transitions.swap(row, changes, leased=True)]
        _record(transitions, [(row, row.generation + 1) for row in saved], kind, reason)
        return saved
    for row, changes in changed.items():
        name_status(row, changes)
    every = [Change(row, changes, kind, reason) for row, changes in changed.items()]
    claims = {claim for changes in alike(every) for claim in records.change(changes)}
    return [change.row for change in every if change.claim in claims]


def _tell(transitions: Transitions, before: Mapping[MailCredentials, str], kind: EventKind, reason: str) -> None:
    """Tell of each row, which had that status before, once all is committed."""

    def tell() -> None:
        for row, old_status in before.items():
            transitions.announce(row, kind, reason, old_status)

    after_commit(transitions.using, tell)


def _records(transitions: Transitions) -> Records | None:
    """Return the statements that write many rows at once; None where the database has none."""
    if connections[transitions.using].vendor != "postgresql":
        return None
    return Records(transitions.manager.model, transitions.using)


def _record(
    transitions: Transitions, rows: Sequence[tuple[MailCredentials, int]], kind: EventKind, reason: str
) -> None:
    """Write an event of each row, with its generation."""
    if not rows:
        return
    events = rows[0][0].events.model
    told: dict[str, Any] = {"kind": kind, "reason": reason[:64]}
    events._default_manager.using(transitions.using).bulk_create(
        [events(credentials_id=row.pk, generation=generation, **told) for row, generation in rows]
    )
