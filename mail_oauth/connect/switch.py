"""Switching a mailbox's OAuth off and on, without touching its tokens."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from mail_oauth.managers.queryset import REFRESHABLE
from mail_oauth.managers.transitions import Transitions
from mail_oauth.managers.vocabulary import Access, EventKind, Status
from mail_oauth.models import MailCredentials


def pause(row: MailCredentials, *, actor: Any = None) -> bool:
    """Switch OAuth off: no refresh, and a clear error on access. False when it was off already."""
    if not row.use_oauth:
        return False

    def changes(current: MailCredentials) -> dict[str, Any]:
        if current.status == Status.DISCONNECTED:  # what is planned for it is to revoke its grant
            return {"use_oauth": False}
        return {"use_oauth": False, "refresh_at": None, "lease_owner": ""}

    Transitions(MailCredentials.objects).insist(row.pk, EventKind.PAUSED, changes, actor=actor)
    return True


def resume(row: MailCredentials, *, actor: Any = None) -> bool:
    """Switch OAuth on; a mailbox that was not disconnected is due at once. False when it was on already."""
    if row.use_oauth:
        return False

    def changes(current: MailCredentials) -> dict[str, Any]:
        if current.status == Status.DISCONNECTED:  # as above
            return {"use_oauth": True}
        tokens = current.refresh_token is not None or current.access in {Access.OWN, Access.APP}
        refreshable = current.status in REFRESHABLE and tokens
        return {"use_oauth": True, "refresh_at": timezone.now() if refreshable else None}

    Transitions(MailCredentials.objects).insist(row.pk, EventKind.RESUMED, changes, actor=actor)
    return True
