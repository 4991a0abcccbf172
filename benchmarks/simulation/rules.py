"""The decisions that a simulated fleet goes by: the app's own, and those of somebody who did not think of many."""

from __future__ import annotations

import random
from datetime import timedelta

from benchmarks.simulation.scenario import moment
from mail_oauth.exceptions import TransportError
from mail_oauth.refresh import policy
from mail_oauth.refresh.classification import Action
from mail_oauth.refresh.verdicts import Verdict, judge, judge_fault
from mail_oauth.tokens import HttpReply

GRANTED = Verdict(action=Action.GRANTED)
SERVER_ERROR = judge(HttpReply(status=503, body=b""))
SILENCE = judge_fault(TransportError("no answer", cause="timeout", outcome_unknown=True))


class AppRules:
    """What the app decides. All of it is asked of its own functions."""

    budgets = True
    """Whether calls are counted against CALLS_PER_SECOND."""

    def __init__(self, rng: random.Random) -> None:
        """Decide by chance where the app does."""
        self.rng = rng

    def refresh_at(self, issued: int, lifetime: int, place: float, *, before: int | None, late: int) -> float:
        """When a token is replaced; `before` is the lifetime of the one before it, `late` how long it was expired."""
        issued_at = moment(issued)
        expires_at = issued_at + timedelta(seconds=lifetime)
        at = policy.next_refresh(issued_at, expires_at, place=place, before=before, late=late)
        return issued + (at - issued_at).total_seconds()

    def postponement(self, seconds: float) -> float:
        """For how long a mailbox is left alone whose lane is held for so many more seconds."""
        return policy.postponement(seconds, self.rng)

    def retry_delay(self, failures: int, verdict: Verdict) -> float:
        """For how long a mailbox pauses after a failure."""
        return policy.retry_delay(failures, retry_after=verdict.retry_after, rng=self.rng)


class NaiveRules(AppRules):
    """A minute's random jitter, everybody back when the hold ends, and no budget: this makes herds."""

    budgets = False

    def refresh_at(self, issued: int, lifetime: int, place: float, *, before: int | None, late: int) -> float:
        """The margin before its expiry, and up to a minute."""
        return issued + lifetime - policy.margin(lifetime) - self.rng.uniform(0, 60)

    def postponement(self, seconds: float) -> float:
        """Until the hold ends."""
        return seconds
