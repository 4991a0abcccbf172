"""Access tokens for other resources of a grant (Microsoft Graph beside the mailbox): one refresh token, another scope.

Refresh tokens are bound to no resource (Microsoft's page on refresh tokens), and a reply may bring a new one, which is
saved first, like every other. The access token lies in the cache alone, under a key that names the consent: of an
account before, or after a disconnect, nobody gets one, whatever has become of the cache. So each read costs a query.

A refusal says nothing of the mailbox's own token: nobody is demoted for it, and the mailbox's own refresh comes when it
would have come. It is remembered for a while, for who asks in a loop.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.utils import timezone

from mail_oauth.cache import LAST_GENERATION, cache_key, read_raw, token_cache, tolerantly, write_all
from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError, MailboxError, ProviderUnavailable, SealError
from mail_oauth.frames import keeps_locals_in
from mail_oauth.managers.app_tokens import by_shared_token
from mail_oauth.managers.background import outside_transaction
from mail_oauth.managers.columns import refresh_token_changes
from mail_oauth.managers.errors import held, no_resource, pausing, unusable
from mail_oauth.managers.latecomers import save_late
from mail_oauth.managers.vocabulary import Access, EventKind, Status
from mail_oauth.providers import provider_for
from mail_oauth.refresh.classification import Action, Trouble
from mail_oauth.refresh.engine import Outcome, adopt, report, save_or_park, spend, unreadable
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
    """Another resource of a mailbox's grant: its name in `RESOURCES`, its scopes, and its place in the cache."""

    name: str
    scopes: tuple[str, ...]
    key: str

    @classmethod
    def of(cls, row: MailCredentials, name: str) -> Resource:
        """Return the resource of that name. Raises `ConfigurationError` where the provider's options name none."""
        scopes = provider_for(row.provider).resource_scopes(name)
        return cls(name=name, scopes=scopes, key=f"resource-{name}-{row.connected_at.timestamp():.6f}")

    def cached(self, pk: UUID, min_validity: float | None = None) -> AccessToken | None:
        """Return the token that was got before, if it lives long enough."""
        token = token_cache.get(pk, self.key)
        if token is None or token.seconds_left() < least_validity(token.lifetime, min_validity):
            return None
        return token

    def mark(self, pk: UUID, what: str, text: str, seconds: float) -> None:
        """Remember something of this resource for so many seconds, as well as the cache can."""
        key = cache_key(pk, f"{self.key}-{what}")
        tolerantly(lambda: write_all({key: text.encode()}, max(int(seconds), 1)), None)

    def marked(self, pk: UUID, what: str) -> str:
        """Return what is remembered; empty where nothing is."""
        raw = tolerantly(lambda: read_raw(cache_key(pk, f"{self.key}-{what}")), None)
        return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else ""


def resource_token(access: TokenAccess, pk: UUID, name: str, min_validity: float | None) -> AccessToken:
    """Return a valid token for a resource: from the cache, else by spending the refresh token under its scopes.

    Raises a `MailboxError`, and `ConfigurationError` for a resource that the provider's options do not name.
    """
    row = _usable(access, pk)
    if row.access == Access.SHARED:
        return by_shared_token(access.ledger, row, lambda app: resource_token(access, app, name, min_validity))
    resource = Resource.of(row, name)
    cached = resource.cached(pk, min_validity)
    if cached is not None:
        return cached
    return outside_transaction(
        access.using, lambda: _got(access, pk, name, lambda each: each.cached(pk, min_validity))
    )


@keeps_locals_in
def other_resource_token(access: TokenAccess, pk: UUID, name: str, rejected: Secret) -> AccessToken:
    """Return another token for a resource than one that was refused before its end; see `report_rejected`."""

    def other(resource: Resource) -> AccessToken | None:
        token = resource.cached(pk)
        return None if token == rejected else token

    row = _usable(access, pk)
    if row.access == Access.SHARED:
        return by_shared_token(access.ledger, row, lambda app: other_resource_token(access, app, name, rejected))
    resource = Resource.of(row, name)
    token = other(resource)
    if token is not None:
        return token
    if resource.marked(pk, "rejected"):
        raise ProviderUnavailable(
            f"A server refuses the token for {name} although it is new: look whether the account may use it.",
            reason="token_rejected",
            retry_after=float(app_settings().rejection_interval),
        )
    token = outside_transaction(access.using, lambda: _got(access, pk, name, other))
    resource.mark(pk, "rejected", "1", app_settings().rejection_interval)
    return token


def bury_resources(row: MailCredentials) -> None:
    """Take a gone mailbox's tokens for other resources out of the cache, as far as the settings still name these."""
    try:
        names = list(provider_for(row.provider).setting("RESOURCES"))
        resources = [Resource.of(row, name) for name in names]
    except ConfigurationError:
        return
    for resource in resources:
        token_cache.bury(row.pk, LAST_GENERATION, resource.key)


def _usable(access: TokenAccess, pk: UUID) -> MailCredentials:
    row: MailCredentials = access.rows.get(pk=pk)
    error = unusable(row)
    if error is not None:
        raise error
    return row


def _got(access: TokenAccess, pk: UUID, name: str, known: Callable[[Resource], AccessToken | None]) -> AccessToken:
    """Spend the refresh token, or wait for whoever does; `known` returns a token that will do."""
    give_up_at = time.monotonic() + app_settings().wait_timeout
    for attempt in itertools.count():
        row = _usable(access, pk)
        resource = Resource.of(row, name)
        token = known(resource)
        if token is not None:
            return token
        if attempt and time.monotonic() > give_up_at:
            break
        if refused := resource.marked(pk, "refused"):
            raise _refusal_again(row, resource, refused)
        claimed = access.rows.claim(pk, generation=row.generation, used=True)
        if claimed is not None:
            token = _Spending(claimed, access.ledger, resource, row.refresh_at).token()
            if token is not None:
                return token
        elif (error := pausing(row)) is not None:
            raise error
        else:
            time.sleep(_POLL_SECONDS)
    raise ProviderUnavailable("Another worker is still refreshing this mailbox.", reason="wait_timeout")


@dataclass(frozen=True, slots=True)
class _Spending:
    """One call for a claimed mailbox. `due_at` is when its own refresh was due before the claim."""

    grant: MailCredentials
    ledger: Transitions
    resource: Resource
    due_at: datetime | None

    def token(self) -> AccessToken | None:
        """Return a token that was got and whose refresh token is saved; None where the row has to be read again.

        Raises a `MailboxError`.
        """
        grant, ledger = self.grant, self.ledger
        if adopt(grant, ledger) is not None:  # a parked pair was saved, and the claim is over
            return None
        try:
            refresh_token = grant.open_refresh_token()
        except SealError as error:
            unreadable(grant, ledger, error)
            return None
        except ConfigurationError:  # no keys at all: nothing was tried
            self._release()
            raise
        admission = ledger.lanes.admit(grant)
        if admission.hold is not None:
            self._release()
            raise held(grant, admission.hold)
        said, rotation = spend(grant, refresh_token, scope=" ".join(self.resource.scopes))
        token = self._kept(said.tokens) if said.tokens is not None else None
        ours = said.tokens is not None or self._put_back(said)
        # That its scopes are refused is nothing that others of the provider's mailboxes have to fear.
        told = replace(said, trouble=None) if said.trouble is Trouble.CONFIGURATION else said
        ledger.lanes.learn(grant, told, admission)
        report(grant, Outcome(verdict=said, token=token), rotation)
        if said.tokens is None and ours:
            raise self._refused(said)
        if token is not None and said.tokens is not None:
            missing = provider_for(grant.provider).missing_scopes(said.tokens.scopes, self.resource.scopes)
            if missing:
                raise self._refused(replace(said, action=Action.REAUTH, reason="scope_missing"))
            token_cache.put(grant.pk, token, self.resource.key)
        return token

    def _kept(self, tokens: TokenSet) -> AccessToken | None:
        """Save the refresh token that came, and release the claim; None if the claim was lost."""
        now = timezone.now()
        if not self._save(_without_access(tokens), now, EventKind.REFRESHED, outcome_unknown=False):
            return None
        ends = now + timedelta(seconds=tokens.expires_in)
        return tokens.lasting(now, ends, generation=self.grant.generation)

    def _put_back(self, said: Verdict) -> bool:
        """Release a claim that brought no token, and keep what must be known of it; False if the claim was lost."""
        unknown = self.grant.outcome_unknown or said.outcome_unknown
        return self._save(
            said.kept, timezone.now(), EventKind.REFRESH_FAILED, said.reason, outcome_unknown=unknown
        )

    def _save(
        self, kept: TokenSet | None, at: datetime, kind: EventKind, reason: str = "", *, outcome_unknown: bool
    ) -> bool:
        """Write what a call has changed, and release the claim; False if that was lost, when nothing is forgotten."""
        grant, ledger = self.grant, self.ledger
        about = f"{self.resource.name} {reason}".strip()[:64]

        def save() -> bool:
            if kept is None and outcome_unknown == grant.outcome_unknown:
                return self._release()
            changes = _changes(grant, kept, at) | {"lease_owner": "", "outcome_unknown": outcome_unknown}
            if ledger.apply(grant, kind, changes, reason=about, leased=True):
                self._release()
                self._publish_own()
                return True
            if kept is not None or outcome_unknown:
                save_late(ledger, grant, kept, at, late)
            return False

        def late(current: MailCredentials) -> bool:
            changes = _changes(current, kept, at)
            changes["outcome_unknown"] = current.outcome_unknown or outcome_unknown
            if kept is not None and current.status == Status.NEEDS_REAUTH:  # refused was the token before this one
                changes |= {"status": Status.CONNECTED, "status_reason": "", "refresh_failures": 0}
                changes |= {"lease_owner": "", "refresh_at": at, "outcome_unknown": False}
            return ledger.apply(current, kind, changes, reason=about, leased=True)

        return save_or_park(grant, kept, at, save)

    def _publish_own(self) -> None:
        """Have the copy of the mailbox's own token be of its generation again."""
        with suppress(SealError):
            own = self.grant.open_access_token()
            if own is not None:
                token_cache.put(self.grant.pk, own)

    def _release(self) -> bool:
        """Give the claim back; the mailbox's own refresh is due when it was, by the database's clock as before."""
        rows = self.ledger.manager.using(self.ledger.using).filter(
            pk=self.grant.pk, lease_owner=self.grant.lease_owner, generation=self.grant.generation
        )
        return bool(rows.update(lease_owner="", refresh_at=self.due_at))

    def _refused(self, said: Verdict) -> MailboxError:
        """Return the error for a refusal, and remember it."""
        settings = app_settings()
        if said.action is Action.RETRY:
            seconds = min(said.retry_after or settings.backoff_base, settings.circuit_cap)
        else:
            seconds = settings.backoff_cap
        self.resource.mark(self.grant.pk, "refused", f"{said.action.value} {said.reason}", seconds)
        return no_resource(self.grant, self.resource.name, self.resource.scopes, said, seconds)


def _changes(row: MailCredentials, kept: TokenSet | None, received_at: datetime) -> dict[str, Any]:
    return {} if kept is None else refresh_token_changes(row, kept, received_at)


def _without_access(tokens: TokenSet) -> TokenSet | None:
    """Return what is kept of a reply: its access token opens something else than the mailbox."""
    if tokens.refresh_token is None:
        return None
    return replace(tokens, access_token=Secret(""), expires_in=0, scopes=None, id_token=None)


def _refusal_again(row: MailCredentials, resource: Resource, mark: str) -> MailboxError:
    action, _, reason = mark.partition(" ")
    known = action in {each.value for each in Action}
    verdict = Verdict(action=Action(action) if known else Action.RETRY, reason=reason)
    return no_resource(row, resource.name, resource.scopes, verdict, None)
