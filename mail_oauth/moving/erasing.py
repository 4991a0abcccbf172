"""Erasing a user: every grant of theirs is revoked as far as its provider lets us, and nothing here names them any more.

First every mailbox is disconnected, and its fate told; then all are deleted at once. A run that is ended between finds them
disconnected the next time, and tells of each from its history, or revokes what is left to revoke. What stays are events
without a user, an address, a mailbox or a time of day (`ErasedEvent`), for statistics, and keyed digests by which an import
knows what it must not bring back (`mail_oauth.moving.memory`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import OperationalError, connections, transaction

from mail_oauth.connect.disconnect import end_grant, needed_by_others
from mail_oauth.managers.latecomers import INSISTENCE
from mail_oauth.managers.resources import bury_resources
from mail_oauth.managers.transitions import Transitions, after_commit
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import CredentialEvent, ErasedEvent, MailCredentials
from mail_oauth.moving.memory import remember
from mail_oauth.moving.traces import forget_acts, forget_consents, forget_mailboxes
from mail_oauth.providers import Revocation
from mail_oauth.refresh.engine import persist

logger = logging.getLogger(__name__)

_FATES = {EventKind.REVOKED: Revocation.REVOKED, EventKind.REVOCATION_FAILED: Revocation.FAILED}
_ENDED = (*_FATES, EventKind.TOKENS_DROPPED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Erased:
    """What became of one mailbox of a user, and of its grant at the provider.

    `revocation` is None for one that had been disconnected before, where nothing here says any more what its provider did.
    """

    email: str
    provider: str
    revocation: Revocation | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ErasureReport:
    """What was erased. `events` were made anonymous; of `acts`, the events of others' mailboxes, who did it is forgotten."""

    mailboxes: tuple[Erased, ...] = ()
    events: int = 0
    acts: int = 0
    consents: int = 0
    admin_entries: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether every provider that can be told to end a grant has done so."""
        return all(mailbox.revocation is not Revocation.FAILED for mailbox in self.mailboxes)


def erase(user: Any, *, tell: Callable[[Erased], None] = lambda _: None) -> ErasureReport:
    """Erase all that is kept of a user here; the user's own row is the site's to delete.

    Each mailbox is disconnected first, with its revocation, and `tell` hears at once what became of it; all are deleted
    then, with their copies in the cache and what is parked. A refresh under way is waited for. A revocation that fails for
    now is not tried again: the token goes with its row, and the report says so. Raises `TransactionHeld` inside `atomic()`
    on SQLite.
    """
    consents = forget_consents(user)
    erasure = _Erasure(user, tell)
    erasure.run()
    report = ErasureReport(
        mailboxes=tuple(erasure.fates.values()),
        events=erasure.events,
        acts=forget_acts(user),
        consents=consents,
        admin_entries=erasure.admin_entries,
    )
    told = (len(report.mailboxes), report.events)
    logger.info("a user was erased: %d mailboxes, %d events", *told, extra={"action": "erase"})
    return report


class _Erasure:
    """The mailboxes of one user on their way out."""

    def __init__(self, user: Any, tell: Callable[[Erased], None]) -> None:
        """Begin with none told of."""
        self.user, self.tell = user, tell
        self.using = Transitions(MailCredentials.objects).using
        self.rows = MailCredentials.objects.using(self.using).filter(user=user).order_by("pk")
        self.fates: dict[UUID, Erased] = {}
        self.events = self.admin_entries = 0
        self._ended: dict[UUID, int] = {}

    def run(self) -> None:
        """Go on until none is left: one may be connected, or changed, meanwhile. Raises `OperationalError`."""
        for _ in range(INSISTENCE):
            if not self.rows.all().exists():
                return
            for row in self.rows.without_tokens():
                if self._ended.get(row.pk) != row.generation:
                    self._end(row)
            persist(self._delete)
        raise OperationalError("Mailboxes of this user are changed by others all the time: erase once more.")

    def _end(self, row: MailCredentials) -> None:
        """Disconnect a mailbox, and note the generation in which nothing of it is left to revoke, or nothing more can be."""
        try:
            revocation = end_grant(row)
        except MailCredentials.DoesNotExist:  # somebody else deletes it at this moment
            revocation = None
        else:
            revocation = revocation or self._told_before(row)
        over = self.rows.filter(pk=row.pk, status=Status.DISCONNECTED)
        if revocation is not Revocation.FAILED:
            over = over.filter(refresh_token__isnull=True)
        self._ended |= over.values_list("pk", "generation")
        fate = Erased(email=row.email, provider=row.provider, revocation=revocation)
        if self.fates.get(row.pk) != fate:
            self.fates[row.pk] = fate
            self.tell(fate)

    def _told_before(self, row: MailCredentials) -> Revocation | None:
        """Return what became of a grant when its mailbox was disconnected, by its history.

        Of one that was left to another mailbox nobody knows, unless that is another user's who lives on it still.
        """
        events = CredentialEvent.objects.using(self.using).filter(credentials=row.pk, kind__in=_ENDED)
        last = events.order_by("-created_at", "-pk").first()
        if last is None:
            return None
        if last.reason == "grant_shared":
            return Revocation.KEPT if needed_by_others(row) else None
        return _FATES.get(EventKind(last.kind), Revocation.UNSUPPORTED)

    def _delete(self) -> None:
        """Delete the mailboxes, all or none: none where one is not as it was told of."""
        with transaction.atomic(using=self.using):
            rows = self._locked()
            if {row.pk: row.generation for row in rows} != {row.pk: self._ended.get(row.pk) for row in rows}:
                return
            events = sum(self._make_anonymous(row) for row in rows)
            entries = forget_mailboxes(rows)
            for row in rows:
                remember(self.using, row)
                after_commit(self.using, partial(bury_resources, copy(row)))
                row.delete()  # once that is committed, its other copies go (`models.mailboxes`)
        self.events += events
        self.admin_entries += entries

    def _locked(self) -> list[MailCredentials]:
        """Return the mailboxes as they are; nobody changes one meanwhile, and no import brings another to this user."""
        features: Any = connections[self.using].features
        if not features.has_select_for_update:
            return list(self.rows.all())
        users = get_user_model()._base_manager.using(self.using).filter(pk=self.user.pk)
        # An import locks its users. Who merely refers to one, as a consent's event does, waits for no such lock.
        list(users.select_for_update(no_key=features.has_select_for_no_key_update).values_list("pk"))
        return list(self.rows.select_for_update())

    def _make_anonymous(self, row: MailCredentials) -> int:
        """Keep the events of a mailbox without it."""
        events = CredentialEvent.objects.using(self.using).filter(credentials=row.pk)
        told = events.order_by("created_at", "pk").values_list("created_at", "kind", "reason")
        kept = [
            ErasedEvent(happened_on=when.date(), provider=row.provider, kind=kind, reason=reason)
            for when, kind, reason in told
        ]
        ErasedEvent.objects.using(self.using).bulk_create(kept, batch_size=500)
        return len(kept)
