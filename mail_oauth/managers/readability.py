"""Mailboxes whose tokens cannot be opened, and their way back: as soon as they can be, without anybody's action."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from mail_oauth.exceptions import CredentialsUnreadable, SealError
from mail_oauth.managers.keeping import keeping_of
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.refresh.keeping import due_at

if TYPE_CHECKING:
    from mail_oauth.managers.transitions import Transitions
    from mail_oauth.models import MailCredentials


def unreadable(row: MailCredentials) -> CredentialsUnreadable | None:
    """Return the error for a row whose refresh token cannot be opened, which names its key; None when it can be."""
    try:
        row.open_refresh_token()
    except SealError as error:
        remedy = "" if error.mendable else " Restore it from a backup, or have the user connect the mailbox again."
        return CredentialsUnreadable(
            f"The tokens of {row} cannot be decrypted. {error}{remedy}", reason=error.code
        )
    return None


def turn_unreadable(transitions: Transitions, row: MailCredentials, cause: str, seconds: float) -> bool:
    """Say once that a claimed row cannot be opened, for `cause`; leave its values, and look again in some seconds.

    Not of one that was sealed anew since it was claimed, and whose old key is gone already: that is due again at once.
    """
    stored = transitions.now(row)
    if stored is not None and stored.refresh_token != row.refresh_token:
        transitions.postpone(row, 0)
        return False
    if row.status == Status.UNREADABLE and row.status_reason == cause:
        transitions.postpone(row, seconds)
        return False
    changes = {
        "status": Status.UNREADABLE,
        "status_reason": cause,
        "lease_owner": "",
        "refresh_at": timezone.now() + timedelta(seconds=seconds),
    }
    return transitions.apply(row, EventKind.UNREADABLE, changes, reason=cause, leased=True)


def turn_readable(transitions: Transitions, row: MailCredentials) -> bool:
    """Connect a row again that can be opened; False when it cannot, or somebody else changes it just now."""
    if row.status != Status.UNREADABLE or row.lease_owner or unreadable(row) is not None:
        return False
    changes: dict[str, Any] = {
        "status": Status.CONNECTED,
        "status_reason": "",
        "refresh_failures": 0,
        "last_refresh_error": "",
        "refresh_at": _planned(row) if row.use_oauth else None,
    }
    return transitions.apply(row, EventKind.READABLE, changes, leased=True)


def _planned(row: MailCredentials) -> datetime:
    """Return when its token is refreshed next, as if nothing had been."""
    now = timezone.now()
    if row.token_issued_at is None or row.token_expiry is None:
        return now
    keeping = keeping_of(row, row.token_issued_at, row.token_expiry, grant_ends_at=row.refresh_token_expires_at)
    return due_at(keeping, now)
