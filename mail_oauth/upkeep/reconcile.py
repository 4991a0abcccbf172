"""Reconciliation: the cache is made to agree with the table, page by page, in constant memory."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime

from django.db import Error
from django.utils import timezone

from mail_oauth import parking
from mail_oauth.cache import token_cache
from mail_oauth.conf import app_settings
from mail_oauth.managers.queryset import REFRESHABLE, MailCredentialsQuerySet
from mail_oauth.managers.transitions import Transitions
from mail_oauth.managers.vocabulary import Status
from mail_oauth.metrics import DRIFT, RECONCILE_SECONDS
from mail_oauth.models import MailCredentials, UpkeepReport
from mail_oauth.refresh.adoption import parked_for
from mail_oauth.refresh.engine import adopt
from mail_oauth.upkeep import pulse
from mail_oauth.upkeep.drift import COLUMNS, RowState, drift
from mail_oauth.upkeep.horizon import ending, warn
from mail_oauth.upkeep.looks import Looks
from mail_oauth.upkeep.pages import Place, pages
from mail_oauth.upkeep.repairs import Repairs
from mail_oauth.upkeep.schedule import mend_schedule, take_back, wake_readable
from mail_oauth.upkeep.usage import write_uses

logger = logging.getLogger(__name__)

NAME = "reconciliation"
"""Of the report that is kept."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReconcileReport:
    """What a walk found, and what it mended (nothing, on a dry run).

    `drift` counts copies by cause (see `Drift`), `repaired` those that agree now, `left` those that were not tried
    because of `RECONCILE_REPAIRS`. `rescheduled` mailboxes had fallen out of the schedule, were put off too long by a
    policy that has changed, wait for a key that is back, or have no user though they were said to need one; `reschedules_left`: about so many more are left to the next
    walk, likewise. `adopted` ones had a token pair parked in the cache, which they hold now. `ending`: their
    grants end soon, of which `grant_ending` told. Of `used` ones the last use was written down. `cache_error` names what the cache raised; empty where it answered.
    """

    walked: int = 0
    drift: Mapping[str, int] = field(default_factory=dict)
    repaired: int = 0
    left: int = 0
    rescheduled: int = 0
    reschedules_left: int = 0
    adopted: int = 0
    ending: int = 0
    used: int = 0
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
    if not dry_run and not report.cache_error:
        pulse.beat("reconcile_cache")
    if not dry_run and limit is None:
        _keep(report)
    if not dry_run:
        RECONCILE_SECONDS.record(report.seconds)
        for cause, number in report.drift.items():
            DRIFT.add(number, cause=cause)
    level = logging.WARNING if report.cache_error else logging.INFO
    logger.log(level, "reconciliation ended: %s", report, extra={"action": "reconcile", **asdict(report)})
    return report


def _keep(report: ReconcileReport) -> None:
    """Keep a report of the whole table for whoever looks; it is worth no failure of what is done."""
    reports = UpkeepReport.objects.using(MailCredentials.objects.write_alias())
    try:
        reports.keep(NAME, asdict(report), timezone.now())
    except Error as error:
        about = {"action": "reconcile", "outcome": "not_kept"}
        logger.warning("the report could not be kept: %s", type(error).__name__, extra=about)


class Walk:
    """One walk over the table."""

    def __init__(self, *, dry_run: bool) -> None:
        """Read the primary: a replica may lag behind, and would show drift that is none."""
        self.transitions = Transitions(MailCredentials.objects)
        self.rows: MailCredentialsQuerySet = MailCredentials.objects.using(self.transitions.using)
        self.most = app_settings().reconcile_repairs
        self.repairs = Repairs(self.rows, most=self.most)
        self.dry_run = dry_run
        self.found: Counter[str] = Counter()
        self.adopted = self.ending = self.used = 0
        self.looks = Looks(uses=not dry_run)

    def run(self, limit: int | None, progress: Callable[[int], None] | None) -> ReconcileReport:
        """Walk, and report."""
        begun, walked = time.monotonic(), 0
        dead = self.rows.dead_leases().count() if self.dry_run else self.rows.release_dead_leases()
        if not self.dry_run:
            self.transitions.lanes.lift_brakes()
        for page, look in self.looks.at(pages(self.rows, limit)):
            self._warn([pk for pk, _, ends, _ in page if ends])
            self._adopt(look.parked)
            self._note_uses(page, look.used)
            self._compare(look.suspects)
            walked += len(page)
            if progress is not None:
                progress(walked)
        taken_back = take_back(self.transitions, most=self.most, dry_run=self.dry_run)
        # Last, by the uses that the walk has brought.
        mended = mend_schedule(self.rows, most=self.most, dry_run=self.dry_run)
        woken = wake_readable(self.rows, dry_run=self.dry_run)
        return ReconcileReport(
            walked=walked,
            drift=dict(self.found),
            repaired=self.repairs.repaired,
            left=self.repairs.left,
            rescheduled=mended.moved + woken + taken_back,
            reschedules_left=mended.left,
            adopted=self.adopted,
            ending=self.ending,
            used=self.used,
            dead_leases=dead,
            cache_error=self.looks.error,
            dry_run=self.dry_run,
            seconds=round(time.monotonic() - begun, 3),
        )

    def _warn(self, pks: Sequence[str]) -> None:
        """Tell of grants that end soon."""
        now = timezone.now()
        for row in ending(self.rows, pks, now):
            self.ending += self.dry_run or warn(row, self.transitions, now)

    def _adopt(self, pks: Sequence[str]) -> None:
        """Give rows the pairs that are parked for them."""
        for row in self.rows.filter(pk__in=pks):
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

    def _note_uses(self, page: Sequence[Place], moments: Mapping[str, datetime]) -> None:
        """Write down when mailboxes were last used, where that was minutes after what is written."""
        known = {pk: int(used or 0) for pk, _, _, used in page} if moments else {}
        later = {pk: moment for pk, moment in moments.items() if moment.timestamp() >= known[pk] + 60}
        if later:
            self.used += write_uses(later)

    def _compare(self, suspects: Sequence[str]) -> None:
        """Look at copies once more, and then at their rows; count what differs, and mend it.

        A refresh commits first and publishes then. So a copy that was newer than its row when the page was
        read may only be the result of a refresh since; but a row read *after* the copy is at least as new as
        it, unless the database has truly lost that generation. Hence this order.
        """
        held = self.looks.asked(lambda: token_cache.headers(suspects)) if suspects else None
        if held is None:
            return
        now, differences = timezone.now(), []
        for values in self.rows.filter(pk__in=suspects).values_list(*COLUMNS):
            state = RowState(*values)
            cause = drift(state, held[str(state.pk)], now)
            if cause is not None:
                self.found[cause.value] += 1
                differences.append((state, held[str(state.pk)]))
        if not self.dry_run:
            self.repairs.mend(differences)
