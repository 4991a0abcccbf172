"""Which mailboxes have a token pair parked in the cache: all are asked for, since nothing else knows."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from mail_oauth import parking
from mail_oauth.models import MailCredentials

PAGE = 5000
"""For how many mailboxes at once the cache is asked whether something is parked."""


def parked_pages() -> Iterator[list[UUID]]:
    """Find the mailboxes for which a pair is parked, a page of the table at a time; raises what the cache raises."""
    rows = MailCredentials.objects.using(MailCredentials.objects.write_alias()).order_by("pk")
    pks = rows.values_list("pk", flat=True)
    page = list(pks[:PAGE])
    while page:
        yield parking.waiting(page)
        page = list(pks.filter(pk__gt=page[-1])[:PAGE])
