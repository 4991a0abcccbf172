"""Erasing a user: every grant of theirs is revoked as far as its provider lets us, and nothing here names them any more.

What is left are events without a user, an address, a mailbox or a time of day (`ErasedEvent`), for statistics.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import Any

from django.apps import apps
from django.db import router, transaction

from mail_oauth.connect.disconnect import disconnect
from mail_oauth.managers.transitions import Transitions
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import ConnectAttempt, ConnectPace, CredentialEvent, ErasedEvent, MailCredentials
from mail_oauth.providers import Revocation

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Erased:
    """What became of one mailbox of a user, and of its grant at the provider.

    `revocation` is None for one that had been disconnected before: what its provider said is in its events, as it was then.
    """

    email: str
    provider: str
    revocation: Revocation | None
    account: tuple[str, str] = field(repr=False)


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


def erase(user: Any) -> ErasureReport:
    """Erase all that is kept of a user here; the user's own row is the site's to delete.

    Each mailbox is disconnected first, with its revocation, and deleted then, with its copies in the cache and what is
    parked. A revocation that fails for now is not tried again: the token goes with its row, and the report says so.
    Raises `TransactionHeld` inside `atomic()` on SQLite.
    """
    using = Transitions(MailCredentials.objects).using
    rows = MailCredentials.objects.using(using).filter(user=user)
    done: list[Erased] = []
    names: list[Any] = []
    events = 0
    while (
        row := rows.without_tokens().order_by("pk").first()
    ) is not None:  # one that is connected meanwhile, too
        names.append(row.pk)
        done.append(_disconnected(row))
        events += _delete(using, row)
    report = ErasureReport(
        mailboxes=tuple(_revoked_with_others(done)),
        events=events,
        acts=CredentialEvent.objects.using(using).filter(actor=user).update(actor=None),
        consents=_delete_consents(user),
        admin_entries=_without_names(names),
    )
    logger.info("a user was erased: %d mailboxes, %d events", len(done), events, extra={"action": "erase"})
    return report


def _disconnected(row: MailCredentials) -> Erased:
    """Disconnect a mailbox; of one that was, revoke a last time what could not be revoked then."""
    pending = MailCredentials.objects.using(MailCredentials.objects.write_alias()).filter(
        pk=row.pk, refresh_token__isnull=False
    )
    wanted = row.status != Status.DISCONNECTED or pending.exists()
    try:
        revocation = disconnect(row) if wanted else None
    except MailCredentials.DoesNotExist:  # somebody else deletes it at this moment
        revocation = None
    account = (row.issuer, row.subject) if row.subject else ("", row.email.lower())
    return Erased(email=row.email, provider=row.provider, revocation=revocation, account=account)


def _revoked_with_others(done: list[Erased]) -> list[Erased]:
    """Where a grant was kept for another mailbox of the same user, it has ended with that one."""
    ended = {each.account for each in done if each.revocation is Revocation.REVOKED}
    return [
        replace(each, revocation=Revocation.REVOKED)
        if each.revocation is Revocation.KEPT and each.account in ended
        else each
        for each in done
    ]


def _delete(using: str, row: MailCredentials) -> int:
    """Delete a mailbox, and keep its events without it. Once that is committed, its copies go (`models.mailboxes`)."""
    with transaction.atomic(using=using):
        events = CredentialEvent.objects.using(using).filter(credentials=row.pk)
        told = events.order_by("created_at", "pk").values_list("created_at", "kind", "reason")
        kept = [
            ErasedEvent(happened_on=when.date(), provider=row.provider, kind=kind, reason=reason)
            for when, kind, reason in told
        ]
        ErasedEvent.objects.using(using).bulk_create(kept, batch_size=500)
        row.delete(using=using)
    return len(kept)


def _delete_consents(user: Any) -> int:
    """Delete what is kept of consents under way, with addresses that were typed."""
    deleted = 0
    for model in (ConnectAttempt, ConnectPace):
        rows = model._base_manager.using(router.db_for_write(model)).filter(user=user)
        deleted += rows.delete()[0]
    return deleted


def _without_names(names: list[Any]) -> int:
    """Take addresses out of the admin's own log, which says of each change what the changed thing was called."""
    if not names or not (
        apps.is_installed("django.contrib.admin") and apps.is_installed("django.contrib.contenttypes")
    ):
        return 0
    kind = apps.get_model("contenttypes", "ContentType").objects.get_for_model(MailCredentials)
    entries = apps.get_model("admin", "LogEntry")._base_manager.filter(content_type=kind)
    of_them = entries.filter(object_id__in=[str(pk) for pk in names])
    return int(of_them.update(object_repr="(erased)", change_message=""))
