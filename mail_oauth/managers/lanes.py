"""Holding the lanes of a provider: who may call, what its verdict means for others, and the brake.

The decisions are in `mail_oauth.refresh.lanes`; here they meet the database.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from uuid import UUID

from mail_oauth.conf import app_settings
from mail_oauth.managers.budget import calls_per_second
from mail_oauth.managers.counts import tally
from mail_oauth.managers.health import board
from mail_oauth.managers.holds import Holds
from mail_oauth.managers.queryset import REFRESHABLE
from mail_oauth.managers.vocabulary import Status
from mail_oauth.metrics import REFRESHES
from mail_oauth.refresh.classification import Trouble
from mail_oauth.refresh.lanes import (
    WISHED,
    Admission,
    Brake,
    Calling,
    Hold,
    Reach,
    Sightings,
    brakes,
    is_over,
    is_still,
    pause,
    reach,
)
from mail_oauth.refresh.verdicts import Verdict

if TYPE_CHECKING:
    from mail_oauth.models import MailCredentials

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Postponed(NamedTuple):
    """Claimed rows, and the hold that their calls are under."""

    hold: Hold
    rows: list[MailCredentials]


class Lanes(Holds):
    """The lanes of all providers: who may call, and what comes of it."""

    # --- calls ---

    def holding(self, row: Calling) -> Hold | None:
        """Return what holds the calls of a mailbox now, the longest hold of several. Costs a query at times."""
        waiting = [hold for hold in self._holds(row) if hold.seconds > 0]
        return max(waiting, key=lambda hold: hold.seconds, default=None)

    def held_apps(self) -> set[str]:
        """Return the providers of which no mailbox may be called for."""
        holds = [hold for hold in board.holds(self.health) if not hold.tenant and hold.seconds > 0]
        return {hold.provider for hold in holds if hold.trouble is not Trouble.REAUTH}

    def sift(self, rows: Iterable[MailCredentials]) -> tuple[list[MailCredentials], list[Postponed]]:
        """Part claimed rows into those that may be called for, and those under a hold."""
        if not board.holds(self.health):
            return list(rows), []
        free: list[MailCredentials] = []
        held: dict[int, Postponed] = {}
        for row in rows:
            hold = self.holding(row) if row.status in REFRESHABLE and row.use_oauth else None
            if hold is None:
                free.append(row)
            else:
                held.setdefault(hold.pk, Postponed(hold, [])).rows.append(row)
        return free, list(held.values())

    def admit(self, row: Calling, *, force: bool = False) -> Admission:
        """Say whether a call may be made for a mailbox, and for which holds it is the trial.

        With `force`, when a person has asked for it, a call tries before its time; not against the provider's own
        wish for a pause, or staff's. Where calls have a budget, this waits for its turn, up to `CALLERS_AHEAD` seconds.
        """
        holds = self._holds(row)
        obeyed = [hold for hold in holds if hold.trouble in WISHED or not force]
        waiting = [hold for hold in obeyed if hold.seconds > 0]
        if waiting:
            return Admission(hold=max(waiting, key=lambda hold: hold.seconds))
        rate = None if self.prepaid else calls_per_second(row.provider)
        permits = self.budgets.spend(row.provider, rate) if rate else None
        if permits is not None:
            if not permits.number:
                return Admission(hold=_over_budget(row, permits.first_in))
            time.sleep(permits.first_in)
        for hold in obeyed:
            if not self.health.take_trial(hold.pk):  # another worker tries it, or has released it
                board.forget()
                return Admission(hold=replace(hold, seconds=float(app_settings().circuit_pause)))
        if holds:
            board.forget()
        return Admission(probing=tuple(holds))

    def learn(self, row: Calling, verdict: Verdict, admission: Admission) -> None:
        """Count, and hold, hold on or release lanes, after a verdict that is saved by now: no error is raised."""
        tally.add(row.provider, verdict)
        REFRESHES.add(provider=row.provider, outcome=verdict.action.value)
        if not self.prepaid:
            _tolerantly(lambda: tally.flush_now_and_then(self.counts), None)
        if verdict.trouble is not None or admission.probing:
            _tolerantly(lambda: self._learn(row, verdict, admission), None)

    def _learn(self, row: Calling, verdict: Verdict, admission: Admission) -> None:
        for hold in admission.probing:
            if is_over(hold.trouble, verdict):
                self.release(hold.pk)
            elif hold.seconds <= 0:  # a forced call that fails early lengthens nobody's pause
                trials = hold.trials + is_still(hold.trouble, verdict)
                self.health.hold_on(hold.pk, trials=trials, seconds=pause(trials, verdict.retry_after))
                board.forget()
        if any(is_still(hold.trouble, verdict) for hold in admission.probing):
            return
        if verdict.trouble in {Trouble.CLIENT, Trouble.THROTTLE}:
            self._hold(row.provider, "", verdict, pause(1, verdict.retry_after))
        elif verdict.trouble in {Trouble.CONFIGURATION, Trouble.OUTAGE}:
            self._weigh(row, verdict.trouble, verdict)

    def _weigh(self, row: Calling, trouble: Trouble, verdict: Verdict) -> None:
        """Hold a lane if enough of its mailboxes had this trouble since the last success on it."""
        tenant = self._note(row, trouble)
        reached = reach(
            self._seen(row.provider, "", trouble),
            self._seen(row.provider, tenant, trouble) if tenant else Sightings(),
            # Whoever cannot be reached is so for all; what fails in other ways may be one organisation's doing.
            only_tenant=lambda: trouble is Trouble.OUTAGE or self._only_tenant(row),
        )
        if reached is not None:
            lane = "" if reached is Reach.APP else tenant
            self._hold(row.provider, lane, verdict, pause(1, verdict.retry_after))

    # --- the brake ---

    def brake(self, row: Calling, verdict: Verdict) -> Brake | None:
        """Return the brake under which nobody is told that this grant was refused; None where its user is told."""
        return _tolerantly(lambda: self._brake(row, verdict), None)

    def _brake(self, row: Calling, verdict: Verdict) -> Brake | None:
        for hold in self._of_lane(row):
            if hold.trouble is Trouble.REAUTH:
                if hold.seconds > 0:
                    return Brake(seconds=float(app_settings().brake_seconds), told=self._told(row, hold.tenant))
                self.release(hold.pk, over=True)
        tenant = self._note(row, Trouble.REAUTH)
        for lane in {tenant, ""}:
            since = self._window(row.provider, lane, Trouble.REAUTH)
            seen = self.faults.seen(row.provider, Trouble.REAUTH, since, lane)
            refused = seen.mailboxes if lane else seen.tenants
            if brakes(refused, 0) and brakes(refused, self._granted(row.provider, lane, since, refused)):
                seconds = float(app_settings().brake_seconds)
                self._hold(row.provider, lane, verdict, seconds)
                return Brake(seconds=seconds, told=self._told(row, lane))
        return None

    def braking(self, row: Calling) -> bool:
        """Tell whether a brake is in force for a mailbox, by the database."""
        board.forget()
        holds: list[Hold] = _tolerantly(lambda: self._of_lane(row), [])
        return any(hold.trouble is Trouble.REAUTH and hold.seconds > 0 for hold in holds)

    def _told(self, row: Calling, lane: str) -> tuple[UUID, ...]:
        """Return whose users were told to reconnect, before it showed that too many are."""
        since = self._window(row.provider, lane, Trouble.REAUTH)
        pks = self.faults.mailboxes(row.provider, Trouble.REAUTH, since, lane)
        told = self.rows.filter(pk__in=pks, status=Status.NEEDS_REAUTH).exclude(pk=row.pk)
        return tuple(told.values_list("pk", flat=True))

    def lift_brakes(self) -> int:
        """Release the brakes whose time is over; they have no effect any more."""
        over = [hold for hold in self.health.holds() if hold.trouble is Trouble.REAUTH and hold.seconds <= 0]
        return sum(self.release(hold.pk) for hold in over)

    def _granted(self, provider: str, tenant: str, since: datetime, refused: int) -> int:
        """Count mailboxes of an organisation, or organisations of an app, with a success; no more than needed."""
        limit = int(refused / max(app_settings().brake_share, 0.01)) + 1
        if not tenant:
            # There are at most as many organisations as calls; that is mostly enough to know.
            counted = self.counts.granted_since(provider, since) + tally.granted_since(provider, since)
            if counted < limit:
                return counted
        rows = self.rows.filter(provider=provider, last_refreshed_at__gt=since)
        if tenant:
            return int(rows.filter(tenant=tenant)[:limit].count())
        tenants = rows.exclude(tenant="").order_by().values_list("tenant", flat=True).distinct()[:limit]
        nobodys = ["", *(each for each in tenants if not self._organisation(provider, each))]
        named = len(tenants) + 1 - len(nobodys)  # personal accounts share a tenant, and count one by one
        return int(named + rows.filter(tenant__in=nobodys)[:limit].count())


def _over_budget(row: Calling, seconds: float) -> Hold:
    """Return what keeps a caller from a provider whose calls are spoken for."""
    about = {"provider": row.provider, "tenant": "", "trouble": Trouble.THROTTLE, "reason": "call_budget"}
    return Hold(pk=0, trials=0, seconds=seconds, **about)  # type: ignore[arg-type]


def _tolerantly(work: Callable[[], T], otherwise: T) -> T:
    """Do it, or log why not: a refresh that is saved already must not fail for the sake of its neighbours."""
    try:
        return work()
    except Exception:  # a receiver of signals and a project's own provider class have their part in it
        logger.exception("the state of a lane could not be saved", extra={"action": "lane"})
        return otherwise
