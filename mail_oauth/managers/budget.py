"""So many calls a second for a provider app, over all workers: the provider option `CALLS_PER_SECOND`.

One row says until when the app's calls are spoken for. Whoever is about to call takes the next free moments by
compare-and-swap, by the database's clock (the generic cell rate algorithm of ATM's traffic management, with moments
instead of cells), so that the calls of all hosts together keep the pace.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import models

from mail_oauth.exceptions import ConfigurationError
from mail_oauth.managers.clock import DatabaseNow
from mail_oauth.providers import provider_for

if TYPE_CHECKING:
    from mail_oauth.models import CallBudget

    _Base = models.Manager[CallBudget]
else:
    _Base = models.Manager

AHEAD = 1.0
"""How many seconds ahead moments are given out to sweeps."""

CALLERS_AHEAD = 5.0
"""How many seconds ahead they are given out to callers: so long they may have to wait."""

_ATTEMPTS = 5
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Permits:
    """How many calls may be made: the first one in `first_in` seconds, each further one `every` seconds later."""

    number: int
    first_in: float = 0.0
    every: float = 0.0


def calls_per_second(provider: str) -> float | None:
    """Return the budget of a provider's app; None where it has none."""
    try:
        rate: float | None = provider_for(provider).setting("CALLS_PER_SECOND")
    except ConfigurationError:  # gone from the settings: its mailboxes are not called for
        return None
    return rate


class CallBudgetQuerySet(models.QuerySet["CallBudget"]):
    """The budgets of all provider apps."""

    def take(self, provider: str, rate: float, wanted: int, *, ahead: float = AHEAD) -> Permits:
        """Take up to `wanted` of the moments that are free within the next seconds, of which there are `ahead`.

        Without any, `first_in` says how far ahead the first free one is.
        """
        for _ in range(_ATTEMPTS):
            row = self._of(provider)
            first_in = max((row.free_at - row.now).total_seconds(), 0.0)
            free = int((ahead - first_in) * rate) + 1 if first_in <= ahead else 0
            number = min(wanted, free)
            if number <= 0:
                break
            free_at = max(row.free_at, row.now) + timedelta(seconds=number / rate)
            if self.filter(pk=row.pk, free_at=row.free_at).update(free_at=free_at):
                return Permits(number, first_in, 1 / rate)
        return Permits(0, first_in)

    def spend(self, provider: str, rate: float) -> Permits:
        """Take the next moment for a caller, who waits for it; none where that is further than `CALLERS_AHEAD`.

        Sweeps look less far ahead, so callers come first.
        """
        permits = self.take(provider, rate, 1, ahead=CALLERS_AHEAD)
        if permits.number or permits.first_in > CALLERS_AHEAD:
            return permits
        self.filter(provider=provider).update(free_at=models.F("free_at") + timedelta(seconds=1 / rate))
        return Permits(1, permits.first_in, 1 / rate)  # others took one moment after the other

    def give_back(self, provider: str, permits: Permits, number: int) -> None:
        """Give back the last `number` of the permits that were taken."""
        if number > 0:
            spared = timedelta(seconds=number * permits.every)
            self.filter(provider=provider).update(free_at=models.F("free_at") - spared)

    def _of(self, provider: str) -> Any:
        row, _ = self.get_or_create(provider=provider, defaults={"free_at": _LONG_AGO})
        return self.annotate(now=DatabaseNow()).get(pk=row.pk)


class CallBudgetManager(_Base.from_queryset(CallBudgetQuerySet)):  # type: ignore[misc]
    """The manager of `CallBudget`."""
