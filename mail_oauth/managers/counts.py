"""How many refreshes had which outcome: counted in the process, and added to the table every few seconds."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from django.db import IntegrityError, models, transaction
from django.db.models import F, Sum
from django.db.models.functions import TruncHour
from django.utils import timezone

from mail_oauth.managers.vocabulary import CountedOutcome
from mail_oauth.refresh.classification import Action
from mail_oauth.refresh.verdicts import Verdict

if TYPE_CHECKING:
    from mail_oauth.models import RefreshCount

    _Base = models.Manager[RefreshCount]
else:
    _Base = models.Manager

SLOT = timedelta(minutes=5)
"""The stretch of time that one row counts."""

FLUSH_SECONDS = 3.0
"""For how long a process keeps counts to itself."""

_OUTCOMES = {
    Action.GRANTED: CountedOutcome.GRANTED,
    Action.RETRY: CountedOutcome.RETRY,
    Action.REAUTH: CountedOutcome.REAUTH,
    Action.ADMIN: CountedOutcome.ADMIN,
    Action.OPERATOR: CountedOutcome.OPERATOR,
    Action.BUG: CountedOutcome.OPERATOR,
    Action.UNKNOWN: CountedOutcome.UNKNOWN,
}

Counted = tuple[datetime, str, str]
"""The beginning of a slot, a provider's alias, and an outcome."""


def slot_of(moment: datetime) -> datetime:
    """Return the beginning of the slot that `moment` lies in, in UTC."""
    return _slot(int(moment.timestamp() // SLOT.total_seconds()))


@lru_cache(maxsize=8)
def _slot(number: int) -> datetime:
    return datetime.fromtimestamp(number * SLOT.total_seconds(), UTC)


class RefreshCountQuerySet(models.QuerySet["RefreshCount"]):
    """Counts of refreshes."""

    def add(self, key: Counted, number: int) -> None:
        """Count so many more, whoever else does so at the same time."""
        begins_at, provider, outcome = key
        counted = self.filter(begins_at=begins_at, provider=provider, outcome=outcome)
        if counted.update(number=F("number") + number):
            return
        try:
            with transaction.atomic(using=self.db):
                self.create(begins_at=begins_at, provider=provider, outcome=outcome, number=number)
        except IntegrityError:  # another process was the first of this slot
            counted.update(number=F("number") + number)

    def granted_since(self, provider: str, since: datetime) -> int:
        """Return how many refreshes succeeded since then, of the first slot all of them."""
        slots = self.filter(provider=provider, outcome=CountedOutcome.GRANTED, begins_at__gte=slot_of(since))
        return int(slots.aggregate(number=Sum("number"))["number"] or 0)

    def by_hour(self, since: datetime) -> dict[tuple[datetime, str], int]:
        """Return how many calls had each outcome within each hour (UTC, by its beginning), from that of `since` on."""
        slots = self.filter(begins_at__gte=since.astimezone(UTC).replace(minute=0, second=0, microsecond=0))
        hours = slots.order_by().values_list(TruncHour("begins_at", tzinfo=UTC), "outcome")
        return {(hour, outcome): number for hour, outcome, number in hours.annotate(sum=Sum("number"))}

    def by_provider(self, since: datetime) -> dict[str, Counter[str]]:
        """Return how many calls of each provider had each outcome since then, of the first slot all of them."""
        slots = self.filter(begins_at__gte=slot_of(since)).order_by().values_list("provider", "outcome")
        found: dict[str, Counter[str]] = {}
        for provider, outcome, number in slots.annotate(sum=Sum("number")):
            found.setdefault(provider, Counter())[outcome] += number
        return found


class RefreshCountManager(_Base.from_queryset(RefreshCountQuerySet)):  # type: ignore[misc]
    """The manager of `RefreshCount`."""


class Tally:
    """What this process has counted and not yet added to the table."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._lock = threading.Lock()
        self._counted: Counter[Counted] = Counter()
        self._flushed_at = float("-inf")

    def add(self, provider: str, verdict: Verdict) -> None:
        """Count one call."""
        with self._lock:
            self._counted[slot_of(timezone.now()), provider, _OUTCOMES[verdict.action].value] += 1

    def flush_now_and_then(self, rows: RefreshCountQuerySet) -> None:
        """Add to the table what was counted, unless this process did so within the last seconds."""
        now = time.monotonic()
        if now - self._flushed_at > FLUSH_SECONDS:
            self._flushed_at = now
            self.flush(rows)

    def flush(self, rows: RefreshCountQuerySet) -> None:
        """Add to the table what was counted so far; what cannot be added now is kept."""
        with self._lock:
            counted, self._counted = self._counted, Counter()
        try:
            for key in sorted(counted):  # in one order, so that processes do not wait for each other in a ring
                rows.add(key, counted[key])
                counted[key] = 0
        finally:
            with self._lock:
                self._counted.update(+counted)

    def granted_since(self, provider: str, since: datetime) -> int:
        """Return how many successes since then are still to be added."""
        first = slot_of(since)
        with self._lock:
            return sum(
                number
                for (begins_at, alias, outcome), number in self._counted.items()
                if alias == provider and outcome == CountedOutcome.GRANTED and begins_at >= first
            )

    def forget(self) -> None:
        """Begin anew: a forked child must not count again what its parent counted."""
        self.__init__()  # type: ignore[misc]


tally = Tally()

os.register_at_fork(after_in_child=tally.forget)
