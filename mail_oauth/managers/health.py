"""The tables of lanes, and what one process knows of them.

Every change is one conditional UPDATE by the database's clock, so that of many workers that meet the same trouble
one holds the lane, one tries it again, and one releases it.
"""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connections, models
from django.db.models import Count, Max, Q

from mail_oauth.conf import app_settings
from mail_oauth.managers.clock import DatabaseNow
from mail_oauth.metrics import HELD_LANES, Observed
from mail_oauth.refresh.classification import Trouble
from mail_oauth.refresh.lanes import Hold, Sightings

if TYPE_CHECKING:
    from mail_oauth.models import ProviderFault, ProviderHealth

    _HealthBase = models.Manager[ProviderHealth]
    _FaultBase = models.Manager[ProviderFault]
else:
    _HealthBase = _FaultBase = models.Manager

SNAPSHOT_SECONDS = 2.0
"""For how long a process goes by what it has read of held lanes."""


WATCHED_SECONDS = 300.0
"""For how long metrics go by it: a sweep reads it each minute."""


class ProviderHealthQuerySet(models.QuerySet["ProviderHealth"]):
    """Lanes, and what holds them."""

    def holds(self) -> list[Hold]:
        """Return every hold, with the seconds that it has left."""
        rows: Any = self.filter(held=True, held_until__isnull=False).annotate(now=DatabaseNow())
        return [
            Hold(
                pk=row.pk,
                provider=row.provider,
                tenant=row.tenant,
                trouble=Trouble(row.trouble),
                reason=row.reason,
                trials=row.trials,
                seconds=(row.held_until - row.now).total_seconds(),
            )
            for row in rows
        ]

    def hold(self, provider: str, tenant: str, trouble: Trouble, *, reason: str, seconds: float) -> Any:
        """Hold a lane; return its row if it was not held for that trouble before, else None.

        One that is held already is held on at least that long.
        """
        row, _ = self.get_or_create(provider=provider, tenant=tenant, trouble=trouble.value)
        until = DatabaseNow() + timedelta(seconds=seconds)
        begun = {"reason": reason[:64], "trials": 1, "held_since": DatabaseNow(), "held_until": until}
        if self.filter(pk=row.pk, held=False).update(held=True, released_at=None, **begun):
            return self.get(pk=row.pk)
        self.filter(pk=row.pk, held=True, held_until__lt=until).update(held_until=until)
        return None

    def take_trial(self, pk: int) -> bool:
        """Be the one who tries a held lane whose pause is over; who dies over it leaves it to the next one."""
        until = DatabaseNow() + timedelta(seconds=app_settings().lease_seconds)
        return bool(self.filter(pk=pk, held=True, held_until__lte=DatabaseNow()).update(held_until=until))

    def hold_on(self, pk: int, *, trials: int, seconds: float) -> None:
        """Begin the pause before the `trials`-th trial."""
        until = DatabaseNow() + timedelta(seconds=seconds)
        self.filter(pk=pk, held=True).update(trials=trials, held_until=until)

    def release(self, pk: int, *, over: bool = False) -> bool:
        """End a hold, with `over` only if its time is over; False when it had ended already."""
        ended = {"held": False, "held_until": None, "released_at": DatabaseNow()}
        held = self.filter(pk=pk, held=True)
        return bool((held.filter(held_until__lte=DatabaseNow()) if over else held).update(**ended))

    def try_now(self) -> int:
        """Let the next call of these lanes try; the brake is no lane of calls."""
        return self.filter(held=True).exclude(trouble=Trouble.REAUTH).update(held_until=DatabaseNow())


class ProviderFaultQuerySet(models.QuerySet["ProviderFault"]):
    """Failures that may concern more than their own mailbox."""

    def seen(self, provider: str, trouble: Trouble, since: datetime, tenant: str = "") -> Sightings:
        """Count mailboxes and organisations that had this trouble, of one `tenant` if it is named."""
        found = self.filter(provider=provider, trouble=trouble.value, at__gt=since)
        if tenant:
            found = found.filter(tenant=tenant)
        counts = found.aggregate(
            mailboxes=Count("mailbox", distinct=True),
            named=Count("tenant", distinct=True, filter=~Q(tenant="")),
            unnamed=Count("mailbox", distinct=True, filter=Q(tenant="")),
        )
        return Sightings(mailboxes=counts["mailboxes"], tenants=counts["named"] + counts["unnamed"])

    def enough_since(
        self, provider: str, trouble: Trouble, since: datetime, tenant: str, enough: int
    ) -> datetime | None:
        """Return since when `enough` mailboxes had it; None where there are fewer. No success may lie between."""
        found = self.filter(provider=provider, trouble=trouble.value, at__gt=since)
        if tenant:
            found = found.filter(tenant=tenant)
        latest = found.order_by().values("mailbox").annotate(latest=Max("at")).order_by("-latest")
        return latest.values_list("latest", flat=True)[enough - 1 : enough].first()

    def mailboxes(self, provider: str, trouble: Trouble, since: datetime, tenant: str = "") -> list[UUID]:
        """Return which mailboxes had it."""
        found = self.filter(provider=provider, trouble=trouble.value, at__gt=since)
        if tenant:
            found = found.filter(tenant=tenant)
        return list(found.order_by().values_list("mailbox", flat=True).distinct())


class ProviderHealthManager(_HealthBase.from_queryset(ProviderHealthQuerySet)):  # type: ignore[misc]
    """The manager of `ProviderHealth`."""


class ProviderFaultManager(_FaultBase.from_queryset(ProviderFaultQuerySet)):  # type: ignore[misc]
    """The manager of `ProviderFault`."""


class Board:
    """What this process has read of held lanes: no refresh should cost a query for lanes that are free."""

    def __init__(self) -> None:
        """Know nothing."""
        self._read: dict[str, tuple[float, list[Hold]]] = {}

    def holds(self, rows: ProviderHealthQuerySet) -> list[Hold]:
        """Return every hold as it is now, or was up to two seconds ago.

        Inside a transaction it is read each time: what is seen there may be rolled back.
        """
        now = time.monotonic()
        read_at, holds = self._read.get(rows.db, (float("-inf"), []))
        if now - read_at > SNAPSHOT_SECONDS or connections[rows.db].in_atomic_block:
            holds, read_at = rows.holds(), now
            self._read[rows.db] = (now, holds)
        return [hold.after(now - read_at) for hold in holds]

    def forget(self) -> None:
        """Read again next time."""
        self._read.clear()

    def watched(self) -> Observed:
        """Count the holds that were read lately by provider and trouble, for metrics; costs no query."""
        lately = time.monotonic() - WATCHED_SECONDS
        holds = [hold for read_at, held in list(self._read.values()) if read_at > lately for hold in held]
        for (provider, trouble), number in Counter((hold.provider, hold.trouble.value) for hold in holds).items():
            yield number, {"provider": provider, "trouble": trouble}


board = Board()
HELD_LANES.watch(board.watched)
