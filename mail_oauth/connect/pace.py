"""How often a user may begin to connect: so many times an hour, all at once if need be, then one after the other.

Each start costs a row, and perhaps a call of the provider; nobody needs hundreds.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, router, transaction
from django.db.models import F

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import TooManyStarts
from mail_oauth.managers.clock import DatabaseNow
from mail_oauth.models import ConnectPace

_HOUR = timedelta(hours=1)


def take_start(user: Any) -> None:
    """Count a start of `user` (`CONNECT_STARTS_PER_HOUR`). Raises `TooManyStarts`.

    Each step is one statement that changes the row only if it still allows it: starts at the same moment, in
    whatever processes, are counted one by one.
    """
    per_hour = app_settings().connect_starts_per_hour
    if not per_hour:
        return
    using, every = router.db_for_write(ConnectPace), _HOUR / per_hour
    mine = ConnectPace.objects.using(using).filter(user=user)
    if _count(mine, every):
        return
    if not mine.exists():
        try:
            with transaction.atomic(using=using):
                ConnectPace.objects.using(using).create(user=user, free_at=DatabaseNow() + every)
        except IntegrityError:  # begun in another window at this moment
            if _count(mine, every):
                return
        else:
            return
    row = mine.annotate(now=DatabaseNow()).first()
    wait = row.free_at - _ahead(every) - row.now if row is not None else timedelta()
    raise TooManyStarts(max(math.ceil(wait.total_seconds()), 1))


def _count(mine: Any, every: timedelta) -> int:
    now = DatabaseNow()
    idle = mine.filter(free_at__lt=now).update(free_at=now + every)
    busy = mine.filter(free_at__gte=now, free_at__lte=now + _ahead(every))
    return int(idle or busy.update(free_at=F("free_at") + every))


def _ahead(every: timedelta) -> timedelta:
    """Return how far ahead starts may be spoken for before one more."""
    return max(_HOUR - every, timedelta())
