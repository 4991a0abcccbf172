"""The walk over the table: narrow pages by keyset, in which the database writes the header that each copy must have."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db import connections
from django.db.models import Case, CharField, F, Func, IntegerField, Q, TextField, Value, When
from django.db.models.functions import Cast, Concat
from django.utils import timezone

from mail_oauth.managers.queryset import MailCredentialsQuerySet
from mail_oauth.managers.vocabulary import Status
from mail_oauth.upkeep.horizon import may_end_soon

PAGE = 5000
"""How many rows are compared at once, of some hundred bytes each: few enough for constant memory, and so many that
making the query costs nothing beside its rows."""


Place = tuple[str, str | None, bool, str | None]
"""A row, as narrow as it can be compared.

Its primary key; the header that its copy must begin with, empty where no token may be cached, None where a closer look
must tell; whether its grant may end soon; and when it was last used, in seconds since 1970, as text.
"""


class WholeSeconds(Func):
    """A moment in whole seconds since 1970, its fraction cut off, as headers count."""

    arity = 1
    output_field = IntegerField()

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        """A double counts microseconds exactly enough, and is made four times faster than `numeric`."""
        return self.as_sql(compiler, connection, template="FLOOR(DATE_PART('epoch', %(expressions)s))::bigint")

    def as_mysql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        """Columns are in UTC, whatever the session's time zone is."""
        template = "TIMESTAMPDIFF(SECOND, '1970-01-01 00:00:00', %(expressions)s)"
        return self.as_sql(compiler, connection, template=template)

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        """Without its fraction, which `strftime` would round."""
        template = "CAST(STRFTIME('%%%%s', SUBSTR(%(expressions)s, 1, 19)) AS INTEGER)"
        return self.as_sql(compiler, connection, template=template)


# No index covers these columns: each refresh would write to it, and with a refresh an hour for each mailbox hardly a
# page of the table is ever visible to all, so that the table would be read all the same.
def pages(rows: MailCredentialsQuerySet, limit: int | None = None) -> Iterator[list[Place]]:
    """Read at most `limit` rows, each page from after the last row of the one before."""
    left = float("inf") if limit is None else limit
    after = ""
    while left > 0:
        size = int(min(PAGE, left))
        page = _page(rows.filter(pk__gt=after) if after else rows, size, timezone.now())
        if page:
            yield page
            left, after = left - len(page), page[-1][0]
        if len(page) < size:
            return


def _page(rows: MailCredentialsQuerySet, size: int, now: datetime) -> list[Place]:
    # The database spells UUIDs where it knows them: making objects of a million takes longer than reading them.
    spells = connections[rows.db].features.has_native_uuid_field
    key = Cast("pk", CharField()) if spells else F("pk")
    used = Cast(WholeSeconds("last_used_at"), CharField())  # Django would convert numbers one by one
    columns = key, expected_header(now), may_end_soon(now), used
    narrow: Any = rows.order_by("pk").values_list(*columns)[:size]
    return list(narrow) if spells else [(str(pk), *others) for pk, *others in narrow]


def expected_header(now: datetime) -> Case:
    """Return the expression for `Place.header`, as sure as it can be at `now`."""
    usable = Q(status=Status.CONNECTED, use_oauth=True)
    next_second = now.replace(microsecond=0) + timedelta(seconds=1)
    without_token = Q(token_issued_at__isnull=True) | Q(token_expiry__isnull=True) | Q(token_expiry__lte=now)
    numbers = F("generation"), WholeSeconds("token_issued_at"), WholeSeconds("token_expiry")
    parts = [part for number in numbers for part in (Cast(number, CharField()), Value("|"))]
    text = Concat(Value("1|"), *parts, output_field=TextField())
    return Case(
        When(~usable | without_token, then=Value("")),
        When(token_expiry__gte=next_second, then=text),
        default=None,
        output_field=TextField(),
    )
