"""The schedule is made to agree with the policies: what fell out of it, and what a policy of before put off too long.

And with the keys: what waits for one that is back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from mail_oauth.choices import Policy
from mail_oauth.encryption import keyring
from mail_oauth.exceptions import KeyMissing
from mail_oauth.managers.clock import DatabaseNow, on_database_clock
from mail_oauth.managers.keeping import keeping_of, warm
from mail_oauth.managers.queryset import REFRESHABLE, MailCredentialsQuerySet
from mail_oauth.managers.transitions import Transitions
from mail_oauth.managers.vocabulary import Access, EventKind, Status
from mail_oauth.models import MailCredentials
from mail_oauth.refresh.keeping import brought_forward, due_at, is_scheduled_too_late, longest_idle, patience
from mail_oauth.upkeep.columns import SealedColumn

PAGE = 5000
"""How many rows are looked at at once: some hundred bytes each."""

AT_ONCE = 500
"""How many rows one statement moves."""

COLUMNS = (
    *("pk", "provider", "refresh_policy", "connected_at", "last_used_at", "token_issued_at", "token_expiry"),
    *("refresh_token_expires_at", "refresh_at"),
)
"""What the next refresh depends on; tokens stay in the database."""


Planned = tuple[UUID, datetime]
"""A mailbox, and when it is to be refreshed instead."""


class Mended(NamedTuple):
    """How many mailboxes were moved, and about how many were not looked at any more."""

    moved: int
    left: int


def mend_schedule(
    rows: MailCredentialsQuerySet, *, most: int = 0, dry_run: bool = False, at_once: bool = False
) -> Mended:
    """Give each of these mailboxes a refresh at the time that its policy says, where it has none or one far too late.

    Those that a change of policy made warm come back within the life of one token, each at its own place, or `at_once`.
    At most so many are moved (0: any number): what is moved is amiss no more, so the next call goes on with the rest.
    A dry run counts how many would be. Costs one query where nothing is to be done.
    """
    now = timezone.now()
    amiss = rows.filter(_amiss(now), use_oauth=True, status__in=REFRESHABLE)
    plan = _plan(amiss, now, at_once)
    within = islice(plan, None if dry_run else most or None)
    moved = 0
    while batch := list(islice(within, PAGE)):
        moved += len(batch) if dry_run else _move(amiss, batch)
    rest = next(plan, None)
    return Mended(moved, 0 if rest is None else amiss.filter(pk__gte=rest[0]).count())


def wake_readable(rows: MailCredentialsQuerySet, *, dry_run: bool = False) -> int:
    """Make mailboxes due that wait for a key which is back; return how many. Nothing is decrypted."""
    column = SealedColumn(MailCredentials, "refresh_token", rows.db)
    waiting = rows.filter(
        status=Status.UNREADABLE,
        status_reason=KeyMissing.code,
        use_oauth=True,
        lease_owner="",
        refresh_at__gt=DatabaseNow(),
    )
    if not waiting.exists():  # nearly always
        return 0
    back = waiting.filter(column.under(keyring().keys))
    return back.count() if dry_run else back.update(refresh_at=DatabaseNow())


def take_back(ledger: Transitions, *, most: int = 0, dry_run: bool = False) -> int:
    """Have mailboxes without a user, and apps' own tokens, tried again that are said to need their user; return how many.

    A release that knew of none took them for grants without a refresh token. No other demotes one so.
    """
    demoted = ledger.manager.using(ledger.using).filter(status=Status.NEEDS_REAUTH).exclude(access=Access.USER)
    rows = demoted.without_tokens()
    if dry_run:
        return int(rows.count())
    return sum(_take_back(ledger, row) for row in rows.order_by("pk")[: most or None])


def _take_back(ledger: Transitions, row: MailCredentials) -> bool:
    planned = row.use_oauth and row.access != Access.SHARED
    changes = {
        "status": Status.CONNECTED,
        "status_reason": "",
        "refresh_at": timezone.now() if planned else None,
        "refresh_failures": 0,
        "last_refresh_error": "",
    }
    return ledger.apply(row, EventKind.REINSTATED, changes, reason="app_only")


def set_policy(row: MailCredentials, policy: Policy | None) -> None:
    """Put a mailbox under a policy of its own, or with None under its provider's.

    One that becomes warm by it is due at once, if its token has aged; one that becomes idle keeps its next refresh.
    """
    set_policies([row.pk], policy)


def set_policies(pks: Sequence[UUID], policy: Policy | None) -> int:
    """Do the same for many, a few statements for each `AT_ONCE` of them; return how many there were."""
    rows = MailCredentials.objects.using(MailCredentials.objects.write_alias())
    changed = 0
    for start in range(0, len(pks), AT_ONCE):
        chosen = rows.filter(pk__in=pks[start : start + AT_ONCE])
        changed += chosen.update(refresh_policy=policy.value if policy else "")
        mend_schedule(chosen, at_once=True)
    return changed


def _amiss(now: datetime) -> Q:
    """Return the condition for rows to look at. A pause after a failure is none of the policy's."""
    far = Q(refresh_at__gt=now + patience(), lease_owner="", refresh_failures=0)
    beyond = Q(refresh_at__gt=now + longest_idle())
    fell_out = Q(refresh_at__isnull=True) & (Q(refresh_token__isnull=False) | Q(access=Access.OWN))
    return fell_out | (far & (warm(now) | beyond))


def _pages(rows: MailCredentialsQuerySet) -> Iterator[list[Any]]:
    after: UUID | None = None
    while True:
        rest = rows if after is None else rows.filter(pk__gt=after)
        page = list(rest.order_by("pk").values_list(*COLUMNS, named=True)[:PAGE])
        if page:
            yield page
        if len(page) < PAGE:
            return
        after = page[-1].pk


def _plan(amiss: MailCredentialsQuerySet, now: datetime, at_once: bool) -> Iterator[Planned]:
    for page in _pages(amiss):
        for row in page:
            when = _mended(row, now, at_once)
            if when is not None:
                yield row.pk, when


def _move(amiss: MailCredentialsQuerySet, planned: Sequence[Planned]) -> int:
    """Write new times; a row that was changed since it was read is no longer `amiss`, and is left alone."""
    alike = defaultdict[datetime, list[UUID]](list)
    for pk, when in planned:
        alike[when].append(pk)
    moved = 0
    for when, pks in alike.items():
        for start in range(0, len(pks), AT_ONCE):
            rows = amiss.filter(pk__in=pks[start : start + AT_ONCE])
            moved += rows.update(refresh_at=on_database_clock(when))
    return moved


def _mended(row: Any, now: datetime, at_once: bool) -> datetime | None:
    """Return when a mailbox is to be refreshed; None where it is scheduled right."""
    if row.token_issued_at is None or row.token_expiry is None:
        return now if row.refresh_at is None else None
    keeping = keeping_of(row, row.token_issued_at, row.token_expiry, grant_ends_at=row.refresh_token_expires_at)
    if row.refresh_at is None:
        return due_at(keeping, now)
    if not is_scheduled_too_late(row.refresh_at, keeping, now):
        return None
    # Whole minutes, so that many can be moved together; from then on each has its own moment.
    when = due_at(keeping, now) if at_once else brought_forward(keeping, now)
    return now if at_once and when <= now else when.replace(second=0, microsecond=0)
