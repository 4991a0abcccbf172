"""From the state of a row to the error that its caller gets, with what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone

from mail_oauth.exceptions import (
    AdminRequired,
    CredentialsUnreadable,
    MailboxDisconnected,
    MailboxError,
    ProviderUnavailable,
    ReauthRequired,
)
from mail_oauth.managers.vocabulary import Status

if TYPE_CHECKING:
    from mail_oauth.models import MailCredentials


def unusable(row: MailCredentials) -> MailboxError | None:
    """Return why a mailbox cannot be used at all; None when it can."""
    reason = row.status_reason
    if row.status == Status.DISCONNECTED:
        return MailboxDisconnected(f"{row} was disconnected: its user must connect it again.", reason=reason)
    if not row.use_oauth:
        return MailboxDisconnected(f"OAuth is switched off for {row}: call resume() to use it.", reason="paused")
    if row.status == Status.NEEDS_REAUTH:
        return ReauthRequired(f"{row} must be reconnected by its user ({reason}).", reason=reason)
    if row.status == Status.NEEDS_ADMIN:
        return AdminRequired(f"{row} waits for the organisation's administrator ({reason}).", reason=reason)
    if row.status == Status.UNREADABLE:
        return CredentialsUnreadable(
            f"The tokens of {row} cannot be decrypted: put the missing key back into FERNET_KEYS.",
            reason=reason,
        )
    return None


def pausing(row: MailCredentials) -> ProviderUnavailable | None:
    """Return the error for a mailbox whose refresh failed and is tried later; None when none is pending."""
    if not row.refresh_failures or row.lease_owner or row.refresh_at is None:
        return None
    seconds = max((row.refresh_at - timezone.now()).total_seconds(), 0.0)
    if not seconds:
        return None
    return ProviderUnavailable(
        f"{row} could not be refreshed ({row.last_refresh_error}); it is tried again in {seconds:.0f} s.",
        reason=row.last_refresh_error,
        retry_after=seconds,
    )
