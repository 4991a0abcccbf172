"""The columns that an entry sets."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from mail_oauth.managers.columns import refresh_token_changes, token_changes
from mail_oauth.managers.queryset import REFRESHABLE
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.moving.entries import Entry
from mail_oauth.moving.judging import Candidate
from mail_oauth.moving.standing import of_grant, of_mailbox
from mail_oauth.refresh.policy import place_of_row
from mail_oauth.tokens import Secret, TokenSet

SOON = 600.0
"""Within so many seconds the first refresh comes of what is due when it arrives, of each mailbox at its own moment."""


def new_row(candidate: Candidate, *, for_mail: bool) -> MailCredentials:
    """Return a mailbox that is not stored yet. `for_mail`: the source's access tokens open mailboxes."""
    entry, standing = candidate.entry, candidate.entry.standing or {}
    row = MailCredentials(
        user_id=candidate.user_id,
        provider=candidate.provider.alias,
        email=entry.email,
        address_typed=entry.address_typed,
        use_oauth=entry.use_oauth,
        connected_at=standing.get("connected_at", timezone.now()),
        **{"sign_in_address": candidate.identity.sign_in_address, **of_mailbox(standing)},
    )
    for name, value in changes(row, candidate, for_mail=for_mail).items():
        setattr(row, name, value)
    return row


def changes(row: MailCredentials, candidate: Candidate, *, for_mail: bool) -> dict[str, Any]:
    """Return what an entry sets in a row: its tokens, and the account where nobody knew it so far."""
    entry, now = candidate.entry, timezone.now()
    tokens = _usable(candidate, now, for_mail=for_mail)
    if tokens is None:
        found = _refresh_token_alone(row, entry, now)
    else:
        found = token_changes(row, tokens, entry.moment) | {"token_expiry": entry.expires_at}
    # Nobody here has refreshed it: that is how a later import knows that newer tokens may take the place of these.
    found |= {"last_refreshed_at": None, "token_issued_at": entry.moment}
    said = of_grant(entry.standing or {})
    status = said.setdefault("status", Status.CONNECTED)
    if not row.use_oauth or status not in REFRESHABLE:
        found["refresh_at"] = None
    elif found["refresh_at"] <= now:
        found["refresh_at"] = now + timedelta(seconds=SOON * place_of_row(row.pk))
    if not row.subject:
        found |= {name: getattr(candidate.identity, name) for name in ("issuer", "subject", "tenant")}
    return found | {
        "status_reason": "",
        "requested_scopes": " ".join(candidate.wanted),
        "granted_scopes": " ".join(entry.scopes or ()),
        "grant_warned_at": None,
        "rejected_at": None,
        **said,
    }


def _usable(candidate: Candidate, now: datetime, *, for_mail: bool) -> TokenSet | None:
    """Return the pair of an entry whose access token lives, and opens the mailbox as far as can be told.

    Of an exported mailbox it does, whatever became of its scopes; and it is kept where OAuth is switched off.
    """
    entry = candidate.entry
    begun, ends = entry.moment, entry.expires_at
    if entry.access_token is None or begun is None or ends is None or ends <= now:
        return None
    if entry.standing is None and not _opens_mail(candidate, for_mail=for_mail):
        return None
    seconds = int((ends - begun).total_seconds())
    return TokenSet(
        access_token=entry.access_token, expires_in=seconds, refresh_token=entry.refresh_token, scopes=entry.scopes
    )


def _opens_mail(candidate: Candidate, *, for_mail: bool) -> bool:
    entry, provider = candidate.entry, candidate.provider
    # Where each token is of one resource alone, it may be of another one than the mailbox.
    if not entry.use_oauth or (not for_mail and provider.sends_scope_on_refresh and not entry.scopes):
        return False
    return not provider.missing_scopes(entry.scopes, candidate.wanted)


def _refresh_token_alone(row: MailCredentials, entry: Entry, now: datetime) -> dict[str, Any]:
    tokens = TokenSet(access_token=Secret(""), expires_in=0, refresh_token=entry.refresh_token)
    return refresh_token_changes(row, tokens, now) | {
        "access_token": None,
        "token_expiry": None,
        "lease_owner": "",
        "refresh_failures": 0,
        "last_refresh_error": "",
        "outcome_unknown": False,
        "refresh_at": now,
    }
