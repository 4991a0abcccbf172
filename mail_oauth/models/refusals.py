"""Values that were refused, in the history of their mailboxes."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.dispatch import receiver
from django.utils import timezone

from mail_oauth.managers.transitions import after_commit
from mail_oauth.managers.vocabulary import EventKind
from mail_oauth.models.events import CredentialEvent
from mail_oauth.models.mailboxes import MailCredentials
from mail_oauth.signals import value_refused

logger = logging.getLogger(__name__)

ONCE_IN = timedelta(hours=1)
"""Who keeps writing into the cache fills no history with it."""


@receiver(value_refused, dispatch_uid="mail_oauth.models.refusals")
def _record(mailbox: UUID | str | None, where: str, cause: str, **_: Any) -> None:
    if mailbox is not None:
        using = MailCredentials.objects.write_alias()
        after_commit(using, lambda: _write(using, mailbox, f"{where}_{cause}"[:64]))


def _write(using: str, mailbox: UUID | str, reason: str) -> None:
    """Write the event. Whatever a database raises, the one who met the value goes on without it."""
    told = {"credentials_id": mailbox, "kind": EventKind.VALUE_REFUSED, "reason": reason}
    try:
        generation = (
            MailCredentials.objects.using(using).filter(pk=mailbox).values_list("generation", flat=True).first()
        )
        events = CredentialEvent.objects.using(using)
        if generation is not None and not events.filter(**told, created_at__gt=timezone.now() - ONCE_IN).exists():
            events.create(**told, generation=generation)
    except Exception:
        about = {"action": "value_refused", "mailbox": str(mailbox), "outcome": "not_recorded"}
        logger.exception("a refused value of mailbox %s is not in its history", mailbox, extra=about)
