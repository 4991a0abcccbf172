"""The database's clock."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models.functions import Now
from django.utils import timezone


class DatabaseNow(Now):
    """The database's clock in UTC, by which leases and pauses end whatever the hosts' clocks say."""

    def as_mysql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        """MySQL's CURRENT_TIMESTAMP is in the session's time zone, Django's columns are in UTC."""
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **extra)


def on_database_clock(moment: datetime) -> Any:
    """Return the database's time that is as far from its now as `moment` is from this host's.

    What is compared with that clock is counted from it: a host whose own is behind would else plan refreshes that
    are due at once, again and again.
    """
    return DatabaseNow() + (moment - timezone.now())
