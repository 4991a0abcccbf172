"""Mailboxes that come by the hundred, by an import: new ones, and newer tokens of such as are here.

What `Transitions` does for one is done for many, with as few statements as can be: the same compare-and-swap for each, an
event for each, and once all is committed the signals.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import transaction

from mail_oauth.managers.episodes import follow
from mail_oauth.managers.transitions import Transitions
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
    with transaction.atomic(using=transitions.using):
        transitions.manager.using(transitions.using).bulk_create(rows)
        _record(transitions, rows, kind, reason)
    for row in rows:
        transitions.applied(row, kind, {}, reason, row.status)


def apply_many(
    transitions: Transitions,
    changed: Mapping[MailCredentials, dict[str, Any]],
    kind: EventKind,
    *,
    reason: str,
) -> set[UUID]:
    """Change rows, each if its generation and lease are still those that were read; return the primary keys of such."""
    before = {row: row.status for row in changed}
    with transaction.atomic(using=transitions.using):
        saved = [row for row, changes in changed.items() if transitions.swap(row, changes, leased=True)]
        generations = [changed[row]["generation"] for row in saved]
        _record(transitions, saved, kind, reason, generations)
        for row in saved:
            follow(transitions.using, row, kind, changed[row]["status"])
    for row in saved:
        transitions.applied(row, kind, changed[row], reason, before[row])
    return {row.pk for row in saved}


def _record(
    transitions: Transitions,
    rows: Sequence[MailCredentials],
    kind: EventKind,
    reason: str,
    generations: Iterable[int] | None = None,
) -> None:
    if not rows:
        return
    numbers = [row.generation for row in rows] if generations is None else generations
    events = rows[0].events.model
    told: dict[str, Any] = {"kind": kind, "reason": reason[:64]}
    pairs = zip(rows, numbers, strict=True)
    events._default_manager.using(transitions.using).bulk_create(
        [events(credentials_id=row.pk, generation=generation, **told) for row, generation in pairs]
    )
