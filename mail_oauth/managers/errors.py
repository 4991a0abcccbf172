"""From the state of a row to the error that its caller gets, with what to do next."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.utils import timezone

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import (
    AdminRequired,
    MailboxDisconnected,
    MailboxError,
    ProviderUnavailable,
    ReauthRequired,
)
from mail_oauth.managers.readability import unreadable
from mail_oauth.managers.vocabulary import Status
from mail_oauth.refresh.classification import Action
from mail_oauth.refresh.lanes import Hold
from mail_oauth.refresh.verdicts import Verdict

if TYPE_CHECKING:
    from mail_oauth.models import MailCredentials


_BY_STATUS: dict[Status, tuple[type[MailboxError], str]] = {
    Status.DISCONNECTED: (MailboxDisconnected, "{row} was disconnected: its user must connect it again."),
    Status.NEEDS_REAUTH: (ReauthRequired, "{row} must be reconnected by its user ({reason})."),
    Status.NEEDS_ADMIN: (AdminRequired, "{row} waits for the organisation's administrator ({reason})."),
    Status.NEEDS_ATTENTION: (
        ProviderUnavailable,
        "The provider refuses {row} with a code that is not known ({reason}): an operator must look at it.",
    ),
}


_WITHOUT_USER = {
    Status.DISCONNECTED: "{row} was disconnected: `manage.py mail_oauth add_mailbox` takes it into use again.",
    Status.NEEDS_REAUTH: "{row} is refused ({reason}): `manage.py mail_oauth add_mailbox` takes it into use again.",
    Status.NEEDS_ADMIN: "{row} waits for an administrator: the app is not let in, or there is no such mailbox ({reason}).",
}


def unusable(row: MailCredentials) -> MailboxError | None:
    """Return why a mailbox cannot be used at all; None when it can.

    One that was unreadable can be used as soon as it opens.
    """
    if not row.use_oauth and row.status != Status.DISCONNECTED:
        return MailboxDisconnected(f"OAuth is switched off for {row}: call resume() to use it.", reason="paused")
    if row.status == Status.UNREADABLE:
        return unreadable(row)
    if row.status not in _BY_STATUS:
        return None
    error, text = _BY_STATUS[Status(row.status)]
    if row.is_app_only:
        text = _WITHOUT_USER.get(Status(row.status), text)
    return error(text.format(row=row, reason=row.status_reason), reason=row.status_reason)


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


def failed(row: MailCredentials, reason: str, retry_in: timedelta | None) -> ProviderUnavailable:
    """Return the error for a refresh that brought no token just now."""
    seconds = None if retry_in is None else retry_in.total_seconds()
    return ProviderUnavailable(f"{row} could not be refreshed ({reason}).", reason=reason, retry_after=seconds)


def held(row: MailCredentials, hold: Hold) -> ProviderUnavailable:
    """Return the error for a mailbox whose provider is not called for the time being."""
    return ProviderUnavailable(
        f"{row} is not refreshed now: calls of its provider are held ({hold.reason}) for {hold.seconds:.0f} s.",
        reason=hold.reason,
        retry_after=hold.seconds,
    )


def refused_again(row: MailCredentials) -> ProviderUnavailable:
    """Return the error for a token that a mail server refused although it is new."""
    since = (timezone.now() - row.rejected_at).total_seconds() if row.rejected_at else 0.0
    seconds = max(app_settings().rejection_interval - since, 0.0)
    return ProviderUnavailable(
        f"A mail server refuses the token of {row}, which was refreshed for that {since:.0f} s ago: look whether the "
        f"account may use the protocol. Another refresh is possible in {seconds:.0f} s.",
        reason="token_rejected",
        retry_after=seconds,
    )


def no_resource(
    row: MailCredentials, resource: str, scopes: tuple[str, ...], said: Verdict, retry_after: float | None
) -> MailboxError:
    """Return the error for a mailbox whose grant gives no token for another resource: who must act."""
    if said.action is Action.REAUTH:
        text = (
            f"{row} gives no token for {resource} ({said.reason}): its user must connect it again, and consent to "
        )
        return ReauthRequired(f"{text}{' '.join(scopes)}.", reason=said.reason)
    if said.action is Action.ADMIN and row.is_app_only:
        text = f"An administrator must let the app into {resource} for {row} ({said.reason})."
        return AdminRequired(text, reason=said.reason)
    if said.action is Action.ADMIN:
        text = f"The organisation's administrator must let {row} have a token for {resource} ({said.reason})."
        return AdminRequired(text, reason=said.reason)
    text = f"No token for {resource} could be had for {row} ({said.reason})."
    return ProviderUnavailable(text, reason=said.reason, retry_after=retry_after)
