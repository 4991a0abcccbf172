"""Whether an entry is worth anything, and whether it is newer than what is here: decisions, in which nothing is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mail_oauth.exceptions import ConfigurationError, TransportError
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.moving.entries import Entry
from mail_oauth.moving.outcomes import Outcome
from mail_oauth.moving.standing import works
from mail_oauth.providers import Provider
from mail_oauth.providers.google import Google
from mail_oauth.tokens import Identity


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """An entry whose user and provider are known here, and as far as can be told whose account it is.

    `wanted` are the scopes that the provider is asked for.
    """

    entry: Entry
    provider: Provider
    wanted: tuple[str, ...]
    user_id: Any
    identity: Identity

    @property
    def email(self) -> str:
        """The address, as this site compares it."""
        return self.entry.email.lower()


def identity_of(entry: Entry, provider: Provider) -> Identity:
    """Return whose account an entry is, as this site would name it; of nobody where the source does not say for sure.

    A subject that this site would spell otherwise is worse than none: its user could not reconnect the mailbox.
    """
    if not provider.names_account:
        return Identity()
    if entry.claims:
        found = _by_claims(entry, provider)
        if found.subject:
            return found
    if entry.issuer and entry.subject:
        return Identity(issuer=entry.issuer, subject=entry.subject, tenant=entry.tenant)
    if entry.subject and isinstance(provider, Google):
        return Identity(issuer=provider.setting("ISSUER"), subject=entry.subject)
    return Identity()


def _by_claims(entry: Entry, provider: Provider) -> Identity:
    try:
        ours = provider.accepts_issuer(entry.claims)
    except (ConfigurationError, TransportError):  # only discovery tells which tenant a domain is
        return Identity()
    return provider.identity_from(entry.claims) if ours else Identity()


def problem_of(candidate: Candidate, *, any_scopes: bool) -> tuple[Outcome, str] | None:
    """Say why an entry cannot become a mailbox, whatever is here; None where it can."""
    entry, provider = candidate.entry, candidate.provider
    if entry.refresh_token is None:
        return Outcome.NO_REFRESH_TOKEN, ""
    if entry.client_id and entry.client_id != provider.options.get("CLIENT_ID"):
        return Outcome.OTHER_CLIENT, ""  # RFC 6749 §6: a refresh token is bound to the client that got it
    # An exported mailbox lived here with the scopes that it names.
    missing = (
        () if any_scopes or entry.standing is not None else provider.missing_scopes(entry.scopes, candidate.wanted)
    )
    return (Outcome.WRONG_SCOPES, "missing " + " ".join(missing)) if missing else None


def the_same(candidate: Candidate, rows: Iterable[MailCredentials]) -> MailCredentials | Outcome | None:
    """Find the mailbox that an entry is of among its user's at its provider; None where there is none.

    Or `Outcome.ANOTHER_ACCOUNT`: its address is here, but of another account.
    """
    mine = list(rows)
    named = (candidate.identity.issuer, candidate.identity.subject)
    here = [row for row in mine if row.email.lower() == candidate.email]
    if candidate.identity.subject:
        of_account = [row for row in here if (row.issuer, row.subject) == named]
        unpinned = [row for row in here if not row.subject]
        moved = [row for row in mine if (row.issuer, row.subject) == named and not row.address_typed]
        found = [*of_account, *unpinned, *([] if here or candidate.entry.address_typed else moved)]
        return next(iter(found), Outcome.ANOTHER_ACCOUNT if here else None)
    return next(iter(sorted(here, key=lambda row: row.status == Status.DISCONNECTED)), None)


def judge(entry: Entry, row: MailCredentials) -> tuple[Outcome, str]:
    """Say whether an entry takes the place of what a row has: `UPDATED`, `HERE` or `DISCONNECTED`, with a reason.

    A mailbox that is connected and was refreshed here lives by itself: nothing takes its place, for what the source has is
    at best another branch of the same grant, and at worst one that the provider has ended by rotating it. What works here
    gives way to nothing that has ended elsewhere.
    """
    if row.status == Status.DISCONNECTED:
        return Outcome.DISCONNECTED, ""
    if row.lease_owner:
        return Outcome.HERE, "being refreshed"
    lives_by_itself = row.status == Status.CONNECTED and row.last_refreshed_at is not None
    if lives_by_itself or (row.is_connected and not works(entry.standing)):
        return Outcome.HERE, ""
    if entry.moment is None:
        return Outcome.HERE, "of unknown age"
    if row.token_issued_at is not None and entry.moment <= row.token_issued_at:
        return Outcome.HERE, ""
    return Outcome.UPDATED, ""
