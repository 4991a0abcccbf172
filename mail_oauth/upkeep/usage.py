"""Bringing the marks of when mailboxes were last used from the cache into the database."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db.models import Case, DateTimeField, Q, Value, When

from mail_oauth.models import MailCredentials
from mail_oauth.usage import marks


def flush_uses(pks: Sequence[UUID]) -> int:
    """Write to `last_used_at` what is marked later than it says; return of how many mailboxes.

    One read of the cache, one of the table, and one UPDATE if there is anything to write. It goes forward only, by
    whole minutes, and leaves the generation alone. Raises what the cache raises.
    """
    used = {pk: moment.replace(second=0, microsecond=0) for pk, moment in marks(pks).items()}
    manager = MailCredentials.objects
    rows = manager.using(manager.write_alias())
    known = rows.filter(pk__in=used).values_list("pk", "last_used_at") if used else ()
    newer: defaultdict[datetime, list[UUID]] = defaultdict(list)
    for pk, before in known:
        if before is None or before < used[pk]:
            newer[used[pk]].append(pk)
    if not newer:
        return 0
    cases = [When(pk__in=of_minute, then=Value(minute)) for minute, of_minute in newer.items()]
    moment = Case(*cases, output_field=DateTimeField())
    behind = Q(last_used_at__isnull=True) | Q(last_used_at__lt=moment)
    every = [pk for of_minute in newer.values() for pk in of_minute]
    updated: int = rows.filter(behind, pk__in=every).update(last_used_at=moment)
    return updated
