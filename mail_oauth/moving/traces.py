"""What names a user or a mailbox beside the mailbox's own row: it goes with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db import models, router

from mail_oauth.models import (
    BulkItem,
    BulkJob,
    ConnectAttempt,
    ConnectPace,
    CredentialEvent,
    MailCredentials,
    Notice,
    ProviderFault,
)

_NOBODY = UUID(int=0)
"""Stands for a mailbox that is not named any more: a job's numbers stay as they were."""


def forget_consents(user: Any) -> int:
    """Delete what is kept of consents under way, with addresses that were typed; return how many rows."""
    return sum(_rows(model).filter(user=user).delete()[0] for model in (ConnectAttempt, ConnectPace))


def forget_acts(user: Any) -> int:
    """Forget that it was this user who did things to mailboxes, and that they are to be mailed; return how many events."""
    _rows(Notice).filter(user=user).delete()
    _rows(BulkJob).filter(actor=user).update(actor=None)
    return _rows(CredentialEvent).filter(actor=user).update(actor=None)


def forget_mailboxes(rows: Iterable[MailCredentials]) -> int:
    """Take mailboxes out of the tables that name them by their keys; return how many entries of the admin's log."""
    pks = [row.pk for row in rows]
    _rows(ProviderFault).filter(mailbox__in=pks).delete()
    _rows(BulkItem).filter(mailbox__in=pks).update(mailbox=_NOBODY, text="")
    return sum(log.update(object_repr="(erased)", change_message="") for log in _logs_of(pks))


def forget_addresses(rows: Sequence[MailCredentials]) -> None:
    """Take the addresses of mailboxes that are deleted out of the admin's log; who did what, and when, stays there."""
    names = {str(row.pk): [each.lower() for each in (row.email, row.sign_in_address) if each] for row in rows}
    for log in _logs_of([row.pk for row in rows]):
        told = log.exclude(change_message="").values_list("pk", "object_id", "change_message")
        # Compared here: to some collations "ada" is not in "ADA".
        naming = [pk for pk, mailbox, text in told if any(name in text.lower() for name in names[mailbox])]
        log.filter(pk__in=naming).update(change_message="")
        log.update(object_repr="(deleted)")


def _rows(model: type[models.Model]) -> models.QuerySet[Any]:
    return model._base_manager.using(router.db_for_write(model))


def _logs_of(pks: Iterable[UUID]) -> list[models.QuerySet[Any]]:
    """Return the admin's own log of mailboxes, which says of each change what the changed thing was called; none without it."""
    if not (apps.is_installed("django.contrib.admin") and apps.is_installed("django.contrib.contenttypes")):
        return []
    log = apps.get_model("admin", "LogEntry")
    kind = apps.get_model("contenttypes", "ContentType").objects.get_for_model(MailCredentials)
    return [_rows(log).filter(content_type=kind, object_id__in=[str(pk) for pk in pks])]
