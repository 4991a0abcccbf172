"""The columns that a new token pair sets."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from mail_oauth.exceptions import ConfigurationError
from mail_oauth.managers.clock import on_database_clock
from mail_oauth.managers.keeping import keeping_of
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.providers import provider_for
from mail_oauth.refresh.keeping import due_at
from mail_oauth.tokens import Secret, TokenSet

if TYPE_CHECKING:
    from mail_oauth.models import MailCredentials


def token_changes(row: MailCredentials, tokens: TokenSet, received_at: datetime | None = None) -> dict[str, Any]:
    """Return the columns that a new token pair sets, sealed for `row`; failures and lease are cleared.

    Its lifetimes begin at `received_at`, now unless told. When it is refreshed next follows from the mailbox's policy
    and its place among all.
    """
    now = received_at or timezone.now()
    expiry = now + timedelta(seconds=tokens.expires_in)
    changes: dict[str, Any] = {
        "access_token": row.sealed("access_token", tokens.access_token),
        "token_issued_at": now,
        "token_expiry": expiry,
        "lease_owner": "",
        "refresh_failures": 0,
        "last_refresh_error": "",
        "outcome_unknown": False,
        "last_refreshed_at": now,
    }
    if tokens.scopes is not None:
        changes["granted_scopes"] = " ".join(tokens.scopes)
    changes |= refresh_token_changes(row, tokens, now)
    ends_at = changes.get("refresh_token_expires_at", row.refresh_token_expires_at)
    before, late = _replaced(row, now)
    keeping = keeping_of(row, now, expiry, grant_ends_at=ends_at, before=before, late=late)
    return changes | {"refresh_at": due_at(keeping, now)}


def _replaced(row: MailCredentials, now: datetime) -> tuple[float | None, float]:
    """Return the lifetime of the token that a row holds, None where it has none, and for how long it is over: seconds."""
    if row.token_issued_at is None or row.token_expiry is None:
        return None, 0.0
    lifetime, late = row.token_expiry - row.token_issued_at, now - row.token_expiry
    return lifetime.total_seconds(), max(late.total_seconds(), 0.0)


def refresh_token_changes(row: MailCredentials, tokens: TokenSet, received_at: datetime) -> dict[str, Any]:
    """Return those of its refresh token alone, and of the end of the grant."""
    changes: dict[str, Any] = {}
    if tokens.refresh_token is not None:
        changes |= rotated(row, tokens.refresh_token, received_at)
    known = row.refresh_token_expires_at if not row.grant_end_estimated else None
    if tokens.refresh_token_expires_in is not None:
        ends: datetime | None = received_at + timedelta(seconds=tokens.refresh_token_expires_in)
        estimated = False
    elif known is not None and tokens.refresh_token is None:
        return changes  # the token is the one of which the provider said when it ends
    else:
        ends, estimated = _estimated_end(row, received_at), True
    changes |= {"refresh_token_expires_at": ends, "grant_end_estimated": estimated and ends is not None}
    before = row.refresh_token_expires_at
    if ends is None or before is None or ends - before > timedelta(days=1):
        changes["grant_warned_at"] = None
    return changes


def rotated(row: MailCredentials, refresh_token: Secret, received_at: datetime) -> dict[str, Any]:
    """Return the columns of a refresh token that a provider has given, whatever else was in its reply.

    That it came here is told with it: no import puts the one that it has replaced back over it.
    """
    return {"refresh_token": row.sealed("refresh_token", refresh_token), "last_refreshed_at": received_at}


def _estimated_end(row: MailCredentials, used_at: datetime) -> datetime | None:
    if row.is_app_only:  # nobody's consent that could end
        return None
    try:
        return provider_for(row.provider).grant_ends_at(row.connected_at, used_at)
    except ConfigurationError:  # a pair is saved whatever became of the settings
        return None


def pair_changes(
    grant: MailCredentials, tokens: TokenSet, received_at: datetime, reason: str
) -> tuple[EventKind, dict[str, Any]]:
    """Return the event of a refreshed pair, and the columns that change."""
    recovered = grant.status != Status.CONNECTED or grant.refresh_failures > 0
    changes = token_changes(grant, tokens, received_at) | {
        "status": Status.CONNECTED,
        "status_reason": reason if reason == "scope_missing" else "",
    }
    if not grant.use_oauth:
        changes["refresh_at"] = None
    return EventKind.RECOVERED if recovered else EventKind.REFRESHED, changes


def name_status(row: MailCredentials, changes: dict[str, Any]) -> None:
    """Have `changes` say which status a row is in, and since when if that is another one."""
    if changes.setdefault("status", row.status) != row.status:
        changes["status_changed_at"] = timezone.now()


def written(changes: dict[str, Any]) -> dict[str, Any]:
    """Return what the database is told: the schedule is kept by its own clock."""
    planned = changes.get("refresh_at")
    return changes if planned is None else {**changes, "refresh_at": on_database_clock(planned)}
