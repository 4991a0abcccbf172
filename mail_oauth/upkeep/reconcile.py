"""Reconciliation: the cache is made to agree with the table, page by page, in constant memory."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from uuid import UUID

from django.utils import timezone

from mail_oauth import parking
from mail_oauth.cache import Header, token_cache
from mail_oauth.exceptions import SealError
from mail_oauth.managers.queryset import REFRESHABLE, MailCredentialsQuerySet
from mail_oauth.managers.transitions import Transitions
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.refresh.adoption import parked_for
from mail_oauth.refresh.engine import adopt
from mail_oauth.upkeep.drift import RowState, drift
from mail_oauth.upkeep.horizon import ends_soon, warn
from mail_oauth.upkeep.schedule import mend_schedule

logger = logging.getLogger(__name__)

PAGE = 500
"""How many rows are compared at once: some hundred bytes each, and one round trip to the cache."""

COLUMNS = (
    *("pk", "generation", "status", "use_oauth", "token_expiry", "token_issued_at", "refresh_at"),
    *("refresh_token_expires_at", "grant_warned_at", "connected_at"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReconcileReport:
    """What a walk found, and what it mended (nothing, on a dry run).

    `drift` counts copies by cause (see `Drift`), `repaired` those that agree now. `rescheduled` mailboxes had
    fallen out of the schedule, or were put off too long by a policy that has changed. `adopted` ones had a token pair
    parked in the cache, which they hold now. `ending`: their grants end soon, of which `grant_ending` told.
    `cache_error` names what the cache raised; empty where it answered.
    """

    walked: int = 0
    drift: Mapping[str, int] = field(default_factory=dict)
    repaired: int = 0
    rescheduled: int = 0
    adopted: int = 0
    ending: int = 0
    dead_leases: int = 0
    cache_error: str = ""
    dry_run: bool = False
    seconds: float = 0.0


def reconcile_cache(
    *, limit: int | None = None, dry_run: bool = False, progress: Callable[[int], None] | None = None
) -> ReconcileReport:
    """Walk the table, at most `limit` rows of it, and repair the cache, the schedule and dead leases.

    No token is read but those of copies that must be made again. `progress` gets the number of rows so far
    after every page. A cache that cannot be reached is reported, not raised.
    """
    report = Walk(dry_run=dry_run).run(limit, progress)
    level = logging.WARNING if report.cache_error else logging.INFO
    logger.log(level, "reconciliation ended: %s", report, extra={"action": "reconcile", **asdict(report)})
    return report


class Walk:
    """One walk over the table."""

    def __init__(self, *, dry_run: bool) -> None:
        """Read the primary: a replica may lag behind, and would show drift that is none."""
        self.transitions = Transitions(MailCredentials.objects)
        self.rows: MailCredentialsQuerySet = MailCredentials.objects.using(self.transitions.using)
        self.dry_run = dry_run
        self.found: Counter[str] = Counter()
        self.repaired = self.rescheduled = self.adopted = self.ending = 0
        self.cache_error = ""

    def run(self, limit: int | None, progress: Callable[[int], None] | None) -> ReconcileReport:
        """Walk, and report."""
        begun, walked = time.monotonic(), 0
        dead = self.rows.dead_leases().count() if self.dry_run else self.rows.release_dead_leases()
        if not self.dry_run:
            self.transitions.lanes.lift_brakes()
        self.rescheduled = mend_schedule(self.rows, dry_run=self.dry_run)
        for page in self._pages(limit):
            self.ending += sum(self._warn(state) for state in page)
            self._adopt(page)
            self._compare(page)
            walked += len(page)
            if progress is not None:
                progress(walked)
        return ReconcileReport(
            walked=walked,
            drift=dict(self.found),
            repaired=self.repaired,
            rescheduled=self.rescheduled,
            adopted=self.adopted,
            ending=self.ending,
            dead_leases=dead,
            cache_error=self.cache_error,
            dry_run=self.dry_run,
            seconds=round(time.monotonic() - begun, 3),
        )

    def _pages(self, limit: int | None) -> Iterator[list[RowState]]:
        """Read the table by keyset: each page begins after the last row of the one before."""
        left = float("inf") if limit is None else limit
        after: UUID | None = None
        while left > 0:
            rows = self.rows.order_by("pk") if after is None else self.rows.filter(pk__gt=after).order_by("pk")
            size = int(min(PAGE, left))
            page = [RowState(*values) for values in rows.values_list(*COLUMNS)[:size]]
            if page:
                yield page
                left, after = left - len(page), page[-1].pk
            if len(page) < size:
                return

    def _warn(self, state: RowState) -> bool:
        now = timezone.now()
        return ends_soon(state, now) and (self.dry_run or warn(state, self.transitions, now))

    def _adopt(self, page: Sequence[RowState]) -> None:
        """Give rows the pairs that are parked for them."""
        if self.cache_error:
            return
        try:
            pks = parking.waiting([state.pk for state in page])
        except Exception as error:  # noqa: BLE001  # whatever a cache backend raises, the walk reports it
            self.cache_error = type(error).__name__
            return
        for row in self.rows.filter(pk__in=pks) if pks else ():
            self.adopted += self._adopt_one(row)

    def _adopt_one(self, row: MailCredentials) -> bool:
        """Claim a row first, so that no refresh runs meanwhile; what is leased adopts its pair by itself."""
        if row.status == Status.DISCONNECTED and not self.dry_run:
            parking.discard(row.pk)
        if row.status not in REFRESHABLE or not row.use_oauth:
            return False
        if parked_for(row, look_only=self.dry_run) is None:
            return False
        if self.dry_run:
            return True
        claimed = self.rows.claim(row.pk, generation=row.generation, force=True)
        if claimed is None:
            return False
        outcome = adopt(claimed, self.transitions)
        if outcome is None:  # an aged pair: the sweep goes on with its refresh token
            self.rows.give_back([claimed])
            return claimed.generation != row.generation
        return outcome.token is not None

    def _compare(self, page: Sequence[RowState]) -> None:
        """Find the copies that disagree, then look at their rows once more and mend what still does.

        A refresh commits first and publishes then. So a copy that was newer than its row when the page was
        read may only be the result of a refresh since; but a row read *after* the copy is at least as new as
        it, unless the database has truly lost that generation. Hence the second look.
        """
        if self.cache_error:
            return
        try:
            held = token_cache.headers([state.pk for state in page])
            now = timezone.now()
            suspects = [state.pk for state in page if drift(state, held[state.pk], now)]
            for row in self._read(suspects):
                self._mend(row, held[row.pk])
        except Exception as error:  # noqa: BLE001  # whatever a cache backend raises, the walk reports it
            self.cache_error = type(error).__name__

    def _read(self, pks: Sequence[UUID]) -> Iterator[MailCredentials]:
        """Read rows with their access tokens, but not all of a page's at once."""
        for start in range(0, len(pks), 50):
            yield from self.rows.filter(pk__in=pks[start : start + 50]).defer("refresh_token")

    def _mend(self, row: MailCredentials, held: Header | None) -> None:
        cause = drift(_state(row), held, timezone.now())
        if cause is None:
            return
        self.found[cause.value] += 1
        if not self.dry_run:
            self.repaired += _repair(row, held)


def _repair(row: MailCredentials, held: Header | None) -> bool:
    """Put the right copy, or none, in the place of the `held` one; False when that did not succeed.

    Writing compares generations in the cache, so it can be done over an older copy without further care. What
    stands in the way of that, a newer generation or a tombstone, is deleted first, if it is still the one
    that was compared: a disconnect may just have left a tombstone of its own, and a refresh a good copy.
    """
    valid, usable = _state(row).has_valid_token(timezone.now()), row.is_connected
    if held is not None and (held.generation > row.generation or not held.expiry or (usable and not valid)):
        if token_cache.headers([row.pk])[row.pk] != held:
            return False
        token_cache.forget(row.pk)
    if valid:
        return _refill(row)
    return usable or token_cache.bury(row.pk, row.generation)


def _refill(row: MailCredentials) -> bool:
    try:
        token = row.open_access_token()
    except SealError as error:
        about = {"action": "reconcile", "mailbox": str(row.pk)}
        logger.warning("the access token of mailbox %s cannot be read: %s", row.pk, error, extra=about)
        return False
    return token is not None and token_cache.put(row.pk, token)


def _state(row: MailCredentials) -> RowState:
    return RowState(*(getattr(row, column) for column in COLUMNS))
