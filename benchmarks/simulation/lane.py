"""The lane of one simulated provider app, held and released by the functions of `mail_oauth.refresh.lanes`."""

from __future__ import annotations

from mail_oauth.conf import app_settings
from mail_oauth.managers.health import SNAPSHOT_SECONDS
from mail_oauth.refresh import lanes
from mail_oauth.refresh.classification import Trouble
from mail_oauth.refresh.verdicts import Verdict


class Lane:
    """Does in memory what `managers.lanes.Lanes` does in the database."""

    def __init__(self, weight: float) -> None:
        """Be free. One simulated mailbox that fails is `weight` of them."""
        self.weight = weight
        self.history: list[tuple[int, float]] = []
        """When it was held, and for how long; 0 for released."""
        self._until: float | None = None
        self._known_from = 0
        self._trials = 0
        self._failed: set[int] = set()

    def seconds_left(self, now: int) -> float | None:
        """Return how long it is held yet as far as every process knows, below 0 when a trial is due; None if free."""
        return None if self._until is None or now < self._known_from else self._until - now

    def begin_trial(self, now: int) -> None:
        """Let nobody else try meanwhile, as `take_trial` does."""
        self._until = now + app_settings().lease_seconds

    def learn(self, mailbox: int, verdict: Verdict, now: int, *, trial: bool) -> None:
        """Hold, hold on or release after a verdict."""
        if trial:
            self._learn_from_trial(verdict, now)
        elif verdict.trouble is not Trouble.OUTAGE:
            self._failed.clear()
        else:
            self._failed.add(mailbox)
            seen = round(len(self._failed) * self.weight)
            in_app = lanes.Sightings(mailboxes=seen, tenants=seen)
            if lanes.reach(in_app, lanes.Sightings(), only_tenant=lambda: True) is lanes.Reach.APP:
                self._hold(now, lanes.pause(1, verdict.retry_after))

    def _learn_from_trial(self, verdict: Verdict, now: int) -> None:
        if lanes.is_over(Trouble.OUTAGE, verdict):
            self._until = None
            self._failed.clear()
            self.history.append((now, 0))
            return
        self._trials += lanes.is_still(Trouble.OUTAGE, verdict)
        seconds = lanes.pause(self._trials, verdict.retry_after)
        self._until = now + seconds
        self.history.append((now, seconds))

    def _hold(self, now: int, seconds: float) -> None:
        if self._until is None:
            self._until, self._trials = now + seconds, 1
            self._known_from = now + round(SNAPSHOT_SECONDS)
            self.history.append((now, seconds))
        self._until = max(self._until, now + seconds)
