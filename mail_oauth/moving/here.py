"""What is here of all that a page of entries names: a handful of queries for all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, Q, Subquery
from django.db.models.functions import Lower
from django.utils import timezone

from mail_oauth.managers.vocabulary import EventKind
from mail_oauth.models import CredentialEvent, MailCredentials
from mail_oauth.moving.entries import Entry
from mail_oauth.moving.users import Users


class Here:
    """The users whom entries name, and those of their mailboxes that the entries may be of.

    `named` are the users' primary keys by the source's names, `addresses` their own by primary key, `rows` the mailboxes by
    user and provider, without access tokens. `skew` is by how much the database's clock is ahead.
    """

    def __init__(self, entries: Sequence[Entry], users: Users, *, with_addresses: bool, lock: bool) -> None:
        """Look them up; with `lock`, inside a transaction, nobody can give the users a mailbox meanwhile."""
        self._using = users.using
        self.named, database_now = users.named([entry.user for entry in entries], lock=lock)
        self.skew = (database_now or timezone.now()) - timezone.now()
        self.addresses = users.addresses(self.named.values()) if with_addresses else {}
        self.rows = self._rows(entries)

    def _rows(self, entries: Sequence[Entry]) -> defaultdict[tuple[Any, str], list[MailCredentials]]:
        addresses = {entry.email.lower() for entry in entries} | {each.lower() for each in self.addresses.values()}
        meant = Q(lowered__in=addresses) | Q(lowered_sign_in__in=addresses)
        if any(entry.subject or entry.claims for entry in entries):  # whose mailbox may have another address here
            meant |= ~Q(subject="")
        # What a small letter is, databases say otherwise than Python: where that matters, all of a user's are compared here.
        owners = {self.named.get(entry.user) for entry in entries if not entry.email.isascii()}
        owners |= {pk for pk, address in self.addresses.items() if not address.isascii()}
        meant |= Q(user_id__in=owners - {None})
        rows = MailCredentials.objects.using(self._using).filter(user_id__in=set(self.named.values()))
        rows = rows.alias(lowered=Lower("email"), lowered_sign_in=Lower("sign_in_address")).filter(meant)
        by_owner: defaultdict[tuple[Any, str], list[MailCredentials]] = defaultdict(list)
        for row in rows.defer("access_token"):
            by_owner[row.user_id, row.provider].append(row)
        return by_owner

    @property
    def never_used(self) -> Iterator[UUID]:
        """The mailboxes whose refresh token came by an import, and was not used here since."""
        return (row.pk for rows in self.rows.values() for row in rows if row.last_refreshed_at is None)

    def brought_by(self, source: str, pks: Iterable[UUID]) -> dict[UUID, datetime]:
        """Return when a source brought what mailboxes have; of those to which another one has brought something since, nothing."""
        wanted = list(pks)
        if not wanted:
            return {}
        events = CredentialEvent.objects.using(self._using).filter(credentials=OuterRef("pk"))
        imports = events.filter(kind=EventKind.IMPORTED).order_by("-created_at", "-pk")
        last = [Subquery(imports.values(name)[:1]) for name in ("reason", "created_at")]
        rows = MailCredentials.objects.using(self._using).filter(pk__in=wanted).values_list("pk", *last)
        return {pk: at for pk, name, at in rows if name == source}
