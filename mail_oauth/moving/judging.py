"""Whether an entry is worth anything, and whether it is newer than what is here: decisions, in which nothing is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from mail_oauth.exceptions import ConfigurationError, SealError, TransportError
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.moving.entries import Entry, Found
from mail_oauth.moving.outcomes import Outcome
from mail_oauth.moving.standing import works
from mail_oauth.providers import Provider
from mail_oauth.providers.google import Google
from mail_oauth.tokens import Identity


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Who wants a mailbox, as `mail_oauth.connect.sharing` asks for it."""

    user_id: Any
    provider: str


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

    @property
    def claim(self) -> tuple[Newcomer, Identity]:
        """Who wants a mailbox, and which account's it is, as `mail_oauth.connect.sharing` asks for them."""
        account = replace(self.identity, email=self.entry.email, address_typed=self.entry.address_typed)
        return Newcomer(self.user_id, self.provider.alias), account


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
    named, typed = (candidate.identity.issuer, candidate.identity.subject), candidate.entry.address_typed
    here = [row for row in mine if row.email.lower() == candidate.email]
    # An account may be known by two addresses, of which the source has the other one. A shared mailbox is not its opener's.
    by_other = [] if here or typed else [row for row in mine if _signs_in_as(row, candidate.email)]
    if candidate.identity.subject:
        of_account = [row for row in here if (row.issuer, row.subject) == named]
        unpinned = [row for row in here or by_other if not row.subject]
        moved = [row for row in mine if (row.issuer, row.subject) == named and not row.address_typed]
        found = [*of_account, *([] if here or typed else moved), *unpinned]
        return next(iter(found), Outcome.ANOTHER_ACCOUNT if here else None)
    return next(iter(sorted(here or by_other, key=lambda row: row.status == Status.DISCONNECTED)), None)


def _signs_in_as(row: MailCredentials, address: str) -> bool:
    return not row.address_typed and row.sign_in_address.lower() == address


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What is known of the refresh token that a mailbox has.

    `got_here_at`: when this site last got it, or used it: by a consent, a refresh, a rotation; None for one that came by an
    import and was never used. `brought_at`: when the very source brought it that is read now; None for another one, and for
    one that an entry of this same run has settled. `moment`: when it was issued, as far as its source could tell.
    `is_dead`: it was refused, or cannot be opened.
    """

    got_here_at: datetime | None = None
    brought_at: datetime | None = None
    moment: datetime | None = None
    is_dead: bool = False

    @classmethod
    def of(cls, row: MailCredentials, brought_at: datetime | None) -> Held:
        """Say it of a row. `brought_at` is of the source that is read, if nobody has settled the row in this run."""
        return cls(
            got_here_at=row.last_refreshed_at,
            brought_at=brought_at,
            moment=row.token_issued_at,
            is_dead=row.status in {Status.NEEDS_REAUTH, Status.UNREADABLE},
        )


def takes_its_place(entry: Entry, held: Held) -> bool:
    """Say whether the other refresh token of an entry takes the place of what is held.

    | what is held                              | the entry takes its place                             |
    |-------------------------------------------|-------------------------------------------------------|
    | got here, or used here                    | if it was surely issued later                         |
    | brought by the same source, and dead      | always                                                |
    | brought by the same source                | if it is newer, or can have come there since          |
    | brought by another source or entry        | if it is newer: never where one of both has no age    |

    Ours is the last of its branch: what is older in its place may be what the provider has ended by rotating it. What a
    source has brought it may replace itself, for its application goes on refreshing: there the last one lives, whatever the
    ends of the access tokens say, whose lifetimes may be random.
    """
    if held.got_here_at is not None:
        return entry.is_surely_newer(held.got_here_at)
    newer = entry.moment is not None and held.moment is not None and entry.moment > held.moment
    if held.brought_at is None:
        return newer
    return newer or held.is_dead or entry.may_be_newer(held.brought_at)


def judge(entry: Entry, row: MailCredentials, brought_at: datetime | None) -> tuple[Outcome, str]:
    """Say whether an entry takes the place of what a row has: `UPDATED`, `HERE` or `DISCONNECTED`, with a reason.

    A mailbox that is connected and was refreshed here lives by itself: nothing takes its place, for what the source has is
    at best another branch of the same grant, and at worst one that the provider has ended by rotating it. What works here
    gives way to nothing that has ended elsewhere. For `brought_at` see `Held`.
    """
    if row.status == Status.DISCONNECTED:
        return Outcome.DISCONNECTED, ""
    if row.lease_owner:
        return Outcome.HERE, "being refreshed"
    lives_by_itself = row.status == Status.CONNECTED and row.last_refreshed_at is not None
    if lives_by_itself or (row.is_connected and not works(entry.standing)):
        return Outcome.HERE, ""
    if takes_its_place(entry, Held.of(row, brought_at)):
        return Outcome.UPDATED, ""
    return Outcome.HERE, "of unknown age" if entry.moment is None else ""


def is_the_same_token(entry: Entry, row: MailCredentials) -> bool:
    """Tell whether an entry has the very refresh token that a row has; not of one that cannot be opened."""
    try:
        return row.refresh_token is not None and row.open_refresh_token() == entry.refresh_token
    except SealError:
        return False


def trouble_of(row: MailCredentials) -> str:
    """Return the code of why a mailbox does not work; empty where it does, also if its OAuth is switched off."""
    return row.status_reason or ("" if row.status == Status.CONNECTED else row.status)


def age(found: Found) -> tuple[int, float]:
    """Order entries, the newest first. What has no age may be new: it comes after what lives, and before what has ended."""
    if not isinstance(found, Entry):
        return 2, 0.0
    if found.moment is None:
        return 1, 0.0
    ended = found.expires_at is not None and found.expires_at <= found.read_at
    return 2 if ended else 0, -found.moment.timestamp()
