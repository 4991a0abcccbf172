"""Access tokens for other resources of a grant (Microsoft Graph beside the mailbox): one refresh token, another scope.

Refresh tokens are bound to no resource (Microsoft's page on refresh tokens), and a reply may bring a new one, which is
saved first, like every other. The access token lies in the cache alone: without it, it costs a call. A refusal says
nothing of the mailbox's own token: nobody is demoted for it. Where the provider refuses the grant as such, the
mailbox's own refresh is due at once, and finds out.
"""

from __future__ import annotations

import itertools
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.utils import timezone

from mail_oauth.cache import token_cache
from mail_oauth.conf import app_settings
from mail_oauth.exceptions import (
    AdminRequired,
    ConfigurationError,
    MailboxError,
    ProviderUnavailable,
    ReauthRequired,
    SealError,
)
from mail_oauth.frames import keeps_locals_in
from mail_oauth.managers.background import outside_transaction
from mail_oauth.managers.clock import on_database_clock
from mail_oauth.managers.columns import refresh_token_changes
from mail_oauth.managers.errors import held, pausing, refused_again, unusable
from mail_oauth.managers.keeping import scheduled_at
from mail_oauth.managers.latecomers import save_late
from mail_oauth.managers.vocabulary import EventKind
from mail_oauth.providers import provider_for
from mail_oauth.refresh.classification import Action, Trouble
from mail_oauth.refresh.engine import Outcome as EngineOutcome
from mail_oauth.refresh.engine import adopt, report, save_or_park, spend, unreadable
from mail_oauth.refresh.policy import least_validity
from mail_oauth.refresh.verdicts import Verdict
from mail_oauth.tokens import AccessToken, Secret, TokenSet

if TYPE_CHECKING:
    from mail_oauth.managers.access import TokenAccess
    from mail_oauth.managers.transitions import Transitions
    from mail_oauth.models import MailCredentials

_POLL_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource:
    """Another resource of a provider, by its name in `RESOURCES`."""

    name: str
    scopes: tuple[str, ...]


def resource_token(access: TokenAccess, pk: UUID, name: str, min_validity: float | None) -> AccessToken:
    """Return a valid token for a resource: from the cache, else by spending the refresh token under its scopes.

    Raises a `MailboxError`, and `ConfigurationError` for a resource that the provider's options do not name.
    """
    cached = _cached(pk, name, min_validity)
    if cached is not None:
        return cached
    return outside_transaction(access.using, lambda: _refreshed_or_awaited(access, pk, name, min_validity))


@keeps_locals_in
def other_resource_token(access: TokenAccess, pk: UUID, name: str, rejected: Secret) -> AccessToken:
    """Return another token for a resource than one that was refused before its end; see `report_rejected`."""
    cached = _cached(pk, name, None)
    if cached is not None and cached != rejected:
        return cached
    return outside_transaction(access.using, lambda: _refreshed_or_awaited(access, pk, name, None, rejected))


def _cached(pk: UUID, name: str, min_validity: float | None) -> AccessToken | None:
    token = token_cache.get(pk, name)
    if token is None or token.seconds_left() < least_validity(token.lifetime, min_validity):
        return None
    return token


def _refreshed_or_awaited(
    access: TokenAccess, pk: UUID, name: str, min_validity: float | None, rejected: Secret | None = None
) -> AccessToken:
    again = rejected is not None
    give_up_at = time.monotonic() + app_settings().wait_timeout
    for _ in itertools.count():
        row: MailCredentials = access.rows.get(pk=pk)
        error = unusable(row)
        if error is not None:
            raise error
        resource = Resource(name=name, scopes=provider_for(row.provider).resource_scopes(name))
        claimed = access.rows.claim(pk, generation=row.generation, used=True, force=again, rejected=again)
        if claimed is not None:
            token = _spend(claimed, access.ledger, resource)
            if token is not None:
                return token
        elif (error := pausing(row)) is not None or (again and not row.lease_owner):
            raise error or refused_again(row)
        elif time.monotonic() > give_up_at:
            break
        else:
            time.sleep(_POLL_SECONDS)
        cached = _cached(pk, name, min_validity)
        if cached is not None and cached != rejected:
            return cached
    raise ProviderUnavailable("Another worker is still refreshing this mailbox.", reason="wait_timeout")


def _spend(grant: MailCredentials, ledger: Transitions, resource: Resource) -> AccessToken | None:
    """Get a token for a claimed mailbox; None where the claim went to something else. Raises a `MailboxError`."""
    if adopt(grant, ledger) is not None:  # a parked pair was saved, and the claim is over
        return None
    try:
        refresh_token = grant.open_refresh_token()
    except SealError as error:
        unreadable(grant, ledger, error)
        raise unusable(ledger.now(grant) or grant) or _failed(grant, resource, error.code) from None
    except ConfigurationError:  # no keys at all: nothing was tried
        _release(ledger, grant)
        raise
    admission = ledger.lanes.admit(grant)
    if admission.hold is not None:
        _release(ledger, grant)
        raise held(grant, admission.hold)
    said, rotation = spend(grant, refresh_token, scope=" ".join(resource.scopes))
    if said.tokens is not None:
        token = _keep(grant, ledger, resource, said.tokens)
    else:
        token = None
        _put_back(grant, ledger, said)
    # That its scopes are refused is nothing that others of the provider's mailboxes have to fear.
    ours = replace(said, trouble=None) if said.trouble is Trouble.CONFIGURATION else said
    ledger.lanes.learn(grant, ours, admission)
    report(grant, EngineOutcome(verdict=said, token=token), rotation)
    if said.tokens is None:
        raise _refused(grant, resource, said)
    missing = provider_for(grant.provider).missing_scopes(said.tokens.scopes, resource.scopes)
    if missing:
        token_cache.forget(grant.pk, resource.name)
        raise _not_consented(grant, resource, "scope_missing")
    return token


def _keep(grant: MailCredentials, ledger: Transitions, resource: Resource, tokens: TokenSet) -> AccessToken | None:
    """Save the refresh token that came, release the claim, then publish; None if the claim was lost."""
    received_at = timezone.now()
    kept = _without_access(tokens)

    def save() -> MailCredentials | None:
        if _write(ledger, grant, kept, received_at, outcome_unknown=False):
            return grant
        if kept is None:
            return None
        return save_late(
            ledger,
            grant,
            kept,
            received_at,
            lambda current: ledger.apply(
                current, EventKind.REFRESHED, _changes(current, kept, received_at), leased=True
            ),
        )

    row = save_or_park(grant, kept, received_at, save)
    if row is None:
        return None
    token = AccessToken(
        tokens.access_token.reveal(),
        issued_at=received_at,
        expires_at=received_at + timedelta(seconds=tokens.expires_in),
        generation=row.generation,
    )
    token_cache.put(row.pk, token, resource.name)
    return token


def _put_back(grant: MailCredentials, ledger: Transitions, said: Verdict) -> None:
    """Release a claim that brought no token, and keep what must be known of it."""
    kept, now = said.kept, timezone.now()
    unknown = grant.outcome_unknown or said.outcome_unknown
    due = now if said.action is Action.REAUTH else None
    save_or_park(
        grant, kept, now, lambda: _write(ledger, grant, kept, now, outcome_unknown=unknown, refresh_at=due)
    )


def _write(
    ledger: Transitions,
    grant: MailCredentials,
    kept: TokenSet | None,
    received_at: datetime,
    *,
    outcome_unknown: bool,
    refresh_at: datetime | None = None,
) -> bool:
    """Write what a call has changed, and release the claim; the mailbox's own token stays as it is."""
    changes = _changes(grant, kept, received_at)
    if not changes and outcome_unknown == grant.outcome_unknown:
        return _release(ledger, grant, refresh_at)
    ends_at = changes.get("refresh_token_expires_at", grant.refresh_token_expires_at)
    grant.refresh_token_expires_at = ends_at
    due = refresh_at or scheduled_at(grant, received_at)
    changes |= {"lease_owner": "", "refresh_at": due, "outcome_unknown": outcome_unknown}
    if not ledger.apply(grant, EventKind.REFRESHED, changes, leased=True):
        return False
    with suppress(SealError):  # the copy of its own token is of the generation before
        own = grant.open_access_token()
        if own is not None and grant.use_oauth:
            token_cache.put(grant.pk, own)
    return True


def _changes(row: MailCredentials, kept: TokenSet | None, received_at: datetime) -> dict[str, Any]:
    return {} if kept is None else refresh_token_changes(row, kept, received_at)


def _release(ledger: Transitions, grant: MailCredentials, refresh_at: datetime | None = None) -> bool:
    """Give a claim back with nothing changed; the mailbox's own refresh comes when it would have come."""
    due = refresh_at or scheduled_at(grant, timezone.now())
    rows = ledger.manager.using(ledger.using).filter(pk=grant.pk, lease_owner=grant.lease_owner)
    return bool(rows.filter(generation=grant.generation).update(lease_owner="", refresh_at=on_database_clock(due)))


def _without_access(tokens: TokenSet) -> TokenSet | None:
    """Return what is kept of a reply: its access token opens something else than the mailbox."""
    if tokens.refresh_token is None:
        return None
    return replace(tokens, access_token=Secret(""), expires_in=0, scopes=None, id_token=None)


def _refused(row: MailCredentials, resource: Resource, said: Verdict) -> MailboxError:
    if said.action is Action.REAUTH:
        return _not_consented(row, resource, said.reason)
    if said.action is Action.ADMIN:
        text = f"The organisation's administrator must let {row} have a token for {resource.name} ({said.reason})."
        return AdminRequired(text, reason=said.reason)
    return _failed(row, resource, said.reason, said.retry_after)


def _not_consented(row: MailCredentials, resource: Resource, reason: str) -> ReauthRequired:
    return ReauthRequired(
        f"{row} gives no token for {resource.name} ({reason}): its user must connect it again, and consent to "
        f"{' '.join(resource.scopes)}.",
        reason=reason,
    )


def _failed(
    row: MailCredentials, resource: Resource, reason: str, retry_after: float | None = None
) -> ProviderUnavailable:
    return ProviderUnavailable(
        f"No token for {resource.name} could be had for {row} ({reason}).", reason=reason, retry_after=retry_after
    )
