"""The sweep: due mailboxes are claimed, refreshed by a crew of threads, and saved one by one."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

from django.db import Error

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import TransactionHeld
from mail_oauth.managers import MailCredentialsManager
from mail_oauth.managers.app_tokens import has_token_of_its_own
from mail_oauth.managers.background import own_connection_possible
from mail_oauth.managers.counts import tally
from mail_oauth.managers.groups import GroupCommit
from mail_oauth.managers.queryset import REFRESHABLE, MailCredentialsQuerySet
from mail_oauth.managers.transitions import Transitions, only_test_transactions
from mail_oauth.managers.vocabulary import Status
from mail_oauth.metrics import SWEEP_SECONDS, SWEPT
from mail_oauth.models import MailCredentials
from mail_oauth.refresh.engine import SAVE_PAUSES, refresh
from mail_oauth.refresh.policy import postponement
from mail_oauth.upkeep import pulse
from mail_oauth.upkeep.claiming import Claimed, Claimer
from mail_oauth.upkeep.crew import Crew

logger = logging.getLogger(__name__)

PACE, LONGEST_PAUSE = 0.05, 1.0
"""How long to wait before looking again whether a provider may be called, in seconds: a sweep must hear of its end."""

SAVE_SECONDS = 5 + sum(SAVE_PAUSES)
"""What one mailbox may take beside the provider's answer: claim, decryption, and a save tried several times."""

Fate = Literal["refreshed", "failed", "lost", "broken", "revocations", "unscheduled", "held", "given_back"]

Result = tuple[MailCredentials, Fate]


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepReport:
    """How many mailboxes had which fate.

    `failed`: the provider refused or could not be asked; that is saved, and tried again where it makes sense.
    `lost`: somebody else changed the mailbox meanwhile. `broken`: an exception, which is logged; the lease
    ends by itself. `revocations`: tried again. `unscheduled`: was due although there is nothing to do.
    `held`: calls of their provider are held for now. `given_back`: claimed, but not begun. `ended` is ``"done"``, ``"time"`` or ``"stopped"``.
    """

    refreshed: int = 0
    failed: int = 0
    lost: int = 0
    broken: int = 0
    revocations: int = 0
    unscheduled: int = 0
    held: int = 0
    given_back: int = 0
    ended: str = "done"
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether every mailbox that was begun is in order."""
        return not (self.failed or self.broken)


def refresh_batch(
    *,
    revoke: Callable[[MailCredentials], object],
    seconds: float | None = None,
    size: int | None = None,
    threads: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> SweepReport:
    """Refresh due mailboxes until none is due, `seconds` are over, or `stopped()`; then finish what runs.

    `revoke` gets the disconnected mailboxes whose grant could not be revoked so far. `size` is the most that
    one claim takes. The defaults are `BATCH_SECONDS`, `BATCH_SIZE` and `REFRESH_THREADS`. An exception that a
    signal's handler raises meanwhile (SIGTERM, a soft time limit) ends the sweep as orderly, and goes on.
    Raises `TransactionHeld` inside `atomic()`, where no refresh could be saved before it is used.
    """
    settings = app_settings()
    manager = MailCredentials.objects
    if not only_test_transactions(manager.write_alias()):
        raise TransactionHeld("A sweep saves each mailbox by itself: call it outside transaction.atomic().")
    sweep = Sweep(
        manager,
        revoke=revoke,
        threads=max(settings.refresh_threads if threads is None else threads, 1),
        size=size or settings.batch_size,
    )
    report = sweep.run(settings.batch_seconds if seconds is None else seconds, stopped)
    pulse.beat("refresh_batch")
    SWEEP_SECONDS.record(report.seconds, ended=report.ended)
    for fate, number in sweep.fates.items():
        SWEPT.add(number, fate=fate)
    logger.info("sweep ended: %s", report, extra={"action": "sweep", **asdict(report)})
    return report


def batches_wanted() -> int:
    """Return how many `refresh_batch` tasks the due mailboxes are worth, at most `BATCH_TASKS`."""
    settings = app_settings()
    rows: MailCredentialsQuerySet = MailCredentials.objects.using(MailCredentials.objects.write_alias())
    due = rows.due()[: settings.batch_tasks * settings.batch_size].count()
    return -(-due // settings.batch_size)


class Sweep:
    """One sweep under way.

    How much it claims follows from the lease: a refresh may take `call` seconds, so within one lease a thread
    finishes `lease // call` of them even if every provider stays silent up to its deadline. More than that is
    never held, so that no mailbox waits, leased, behind somebody else's slow provider until another worker
    takes it over. As a process may also be suspended, each row is looked at once more before it is begun.
    """

    def __init__(
        self,
        manager: MailCredentialsManager,
        *,
        revoke: Callable[[MailCredentials], object],
        threads: int,
        size: int,
    ) -> None:
        """Prepare a sweep over the rows of `manager`."""
        settings = app_settings()
        call = settings.total_timeout + SAVE_SECONDS
        using = manager.write_alias()
        self.crewed = own_connection_possible(using)
        self.group = GroupCommit.over(manager) if self.crewed else None
        self.ledger = Transitions(manager, self.group, prepaid=True)
        self.rows: MailCredentialsQuerySet = manager.using(using)
        self.revoke = revoke
        self.threads = threads
        self.size = size
        self.most_held = threads * max(int(settings.lease_seconds // call), 1)
        patience = max(settings.lease_seconds - call, settings.lease_seconds / 2)
        self.claimer = Claimer(self.rows, self.ledger.lanes, patience=patience)
        self.fates: Counter[Fate] = Counter()
        self._over: Callable[[], bool] = lambda: False

    def run(self, seconds: float, stopped: Callable[[], bool]) -> SweepReport:
        """Sweep; see `refresh_batch`."""
        begun = time.monotonic()
        self._over = lambda: stopped() or time.monotonic() - begun > seconds
        crew = Crew(self._work, self.threads if self.crewed else 0)
        ended = "done"
        try:
            while self._feed(crew):
                row, fate = crew.wait()
                self.claimer.done(row)
                self.fates[fate] += 1
                self._count()
                if self._over():
                    ended = "stopped" if stopped() else "time"
                    break
        finally:
            not_begun, results = crew.dismiss()
            if self.group is not None:
                self.group.close()
            self.rows.give_back([claimed.row for claimed in not_begun])
            self.fates.update(fate for _, fate in results)
            self.fates["given_back"] += len(not_begun)
            self._count(at_once=True)
        counts = {str(fate): number for fate, number in self.fates.items()}
        return SweepReport(**counts, ended=ended, seconds=round(time.monotonic() - begun, 3))

    def _feed(self, crew: Crew[Claimed, Result]) -> bool:
        """Claim what there is room for; False when nothing is left to wait for.

        A claim that brought less than it asked for is not repeated before everything is worked off, or each
        of the last refreshes would cost a query that finds nothing.
        """
        room = self.most_held - crew.outstanding
        if not crew.outstanding or (room >= self.threads and not self.claimer.drained):
            crew.give(self._claim(min(room, self.size)))
        return bool(crew.outstanding)

    def _claim(self, wanted: int) -> list[Claimed]:
        """Claim up to so many rows that may be called for; those whose lane is held are postponed by the way."""
        while True:
            claims = self.claimer.claim(wanted)
            by_row = {claim.row: claim for claim in claims}
            free, held = self.ledger.lanes.sift(by_row)
            for hold, postponed in held:
                free += [row for row in postponed if by_row[row].may_be_parked]  # adopting takes no call
                rest = [row for row in postponed if not by_row[row].may_be_parked]
                self.fates["held"] += self.rows.postpone(rest, postponement(hold.seconds))
                for row in rest:
                    self.claimer.done(row)
            if free or self.claimer.drained or self._over():
                return [by_row[row] for row in free]
            if self.claimer.pause is not None:
                time.sleep(min(max(self.claimer.pause, PACE), LONGEST_PAUSE))

    def _count(self, *, at_once: bool = False) -> None:
        """Add to the table what was counted, every few seconds. Counts are worth no failure of a sweep."""
        add = tally.flush if at_once else tally.flush_now_and_then
        try:
            add(self.ledger.lanes.counts)
        except Error as error:
            about = {"action": "sweep", "outcome": "not_counted"}
            logger.warning("refreshes could not be counted so far: %s", type(error).__name__, extra=about)

    def _work(self, claimed: Claimed) -> Result:
        """Wait until the provider may be called, if it has a budget of calls, and do what the row needs."""
        early = claimed.begin_at - time.monotonic()
        if early > 0:
            time.sleep(early)
        return claimed.row, self._settle(claimed)

    def _settle(self, claimed: Claimed) -> Fate:
        """Do what a due row needs. One that fails never stops the others."""
        row = claimed.row
        try:
            if time.monotonic() > claimed.begin_before:
                self.rows.give_back([row])
                return "given_back"
            if row.status == Status.DISCONNECTED:
                self.revoke(row)
                return "revocations"
            if row.status not in REFRESHABLE or not row.use_oauth or not has_token_of_its_own(row):
                self.rows.unschedule(row)
                return "unscheduled"
            return self._refresh(claimed)
        except Exception:
            about = {"action": "sweep", "mailbox": str(row.pk), "provider": row.provider}
            logger.exception("upkeep of mailbox %s failed; its lease ends by itself", row.pk, extra=about)
            return "broken"

    def _refresh(self, claimed: Claimed) -> Fate:
        outcome = refresh(claimed.row, self.ledger, may_be_parked=claimed.may_be_parked)
        if outcome.token is not None:
            return "refreshed"
        if outcome.held:
            return "held"
        return "lost" if outcome.verdict.tokens is not None else "failed"
