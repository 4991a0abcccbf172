"""Bringing the marks of when mailboxes were last used from the cache into the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from django.db.models import Case, DateTimeField, Q, Value, When

from mail_oauth.cache import PK
from mail_oauth.models import MailCredentials


def write_uses(moments: Mapping[PK, datetime]) -> int:
    """Write to `last_used_at` what is later than it says; return of how many mailboxes.

    One read of the table, and one UPDATE if there is anything to write. It goes forward only, by whole minutes, and leaves the generation alone.
    """
    used = {str(pk): moment.replace(second=0, microsecond=0) for pk, moment in moments.items()}
    manager = MailCredentials.objects
    rows = manager.using(manager.write_alias())
    known = rows.filter(pk__in=used).values_list("pk", "last_used_at") if used else ()
    newer: defaultdict[datetime, list[UUID]] = defaultdict(list)
    for pk, before in known:
        moment = used[str(pk)]
        if before is None or before < moment:
            newer[moment].append(pk)
    if not newer:
        return 0
    cases = [When(pk__in=of_minute, then=Value(minute)) for minute, of_minute in newer.items()]
    latest = Case(*cases, output_field=DateTimeField())
    behind = Q(last_used_at__isnull=True) | Q(last_used_at__lt=latest)
    every = [pk for of_minute in newer.values() for pk in of_minute]
    updated: int = rows.filter(behind, pk__in=every).update(last_used_at=latest)
    return updated
