"""What a source says of one mailbox, and what a source is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from django.utils import timezone

from mail_oauth.refresh.replies import LONGEST_LIFETIME
from mail_oauth.tokens import Secret

PAGE = 500
"""How many entries are read, and written, at once."""

LIFETIME = timedelta(hours=1)
"""How long before its end an access token is taken to have been issued, where nobody says when it was."""

USUAL = timedelta(minutes=90)
"""The longest that access tokens for mail live as a rule: Microsoft's have 60 to 90 minutes, by chance.

An end further ahead is by another clock or another rule, and tells nobody how old the token is.
"""

LONGEST = timedelta(seconds=LONGEST_LIFETIME)
"""No access token lives longer: one that ends so much after a moment was surely issued after it."""

SKEW = timedelta(minutes=5)
"""By so much another host's clock may be ahead."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One grant of a source, as its source has it; what it does not say is empty.

    `where` names it for people, and holds no secret. `user` and `provider` are the source's own names for them.
    `scopes` is None where nobody says what was granted. `claims` are those of a stored id_token, of which no signature
    was checked: they are as trustworthy as the source. A `subject` without an `issuer` is the provider's own `sub`.
    `standing` is what an export of this app says besides (`mail_oauth.moving.standing`); None for other sources.
    `read_at` is now; nothing that it says of the past lies after that.
    """

    where: str
    user: str = ""
    provider: str = ""
    email: str = ""
    refresh_token: Secret | None = None
    access_token: Secret | None = None
    expires_at: datetime | None = None
    issued_at: datetime | None = None
    scopes: tuple[str, ...] | None = None
    client_id: str = ""
    issuer: str = ""
    subject: str = ""
    tenant: str = ""
    claims: Mapping[str, Any] = field(default_factory=dict, repr=False)
    use_oauth: bool = True
    address_typed: bool = False
    standing: Mapping[str, Any] | None = field(default=None, repr=False)

    read_at: datetime = field(default_factory=timezone.now, compare=False)

    @property
    def known_moment(self) -> datetime | None:
        """When its tokens were issued, if the source says so and that can be; else None."""
        issued, ends = self.issued_at, self.expires_at
        if issued is None or issued > self.read_at + SKEW or (ends is not None and ends <= issued):
            return None
        return min(issued, self.read_at)

    @property
    def moment(self) -> datetime | None:
        """The same, or else what the end of its access token lets one suppose; None where nobody can tell."""
        if self.known_moment is not None:
            return self.known_moment
        if self.expires_at is None or self.expires_at > self.read_at + USUAL:
            return None
        return min(self.expires_at - LIFETIME, self.read_at)

    def is_surely_newer(self, than: datetime) -> bool:
        """Tell whether its tokens were issued after a moment, however long its access token lives."""
        if self.known_moment is not None:
            return self.known_moment > than
        return self.expires_at is not None and than < self.expires_at - LONGEST <= self.read_at

    def may_be_newer(self, than: datetime) -> bool:
        """Tell whether its tokens can have been issued after a moment: not if its access token had ended by then."""
        latest = self.known_moment or self.expires_at
        return latest is None or latest > than


@dataclass(frozen=True, kw_only=True, slots=True)
class Unreadable:
    """Something in a source that is no entry; `reason` is a code."""

    where: str
    reason: str


Found = Entry | Unreadable


class Source(Protocol):
    """Where grants come from. It is read only."""

    name: str
    """What an event calls it."""
    names_users_by_key: bool
    """Whether its users are this site's own, by primary key; else an option says what its names are."""
    tokens_are_for_mail: bool
    """Whether its access tokens open mailboxes; else they may be another resource's, and stay behind."""

    def about(self) -> int:
        """Return about how many entries there are, for a progress bar; 0 where nobody can tell."""

    def pages(self) -> Iterator[list[Found]]:
        """Read them, so many at once that memory stays constant. Raises `SourceError`."""


class SourceError(Exception):
    """A source cannot be read; the message says why, and holds no secret."""


def shown(name: str) -> str:
    """Return a name of somebody else's fit for a terminal and a log: short, and without control characters."""
    cut = name if len(name) <= 200 else f"{name[:200]}…"
    return cut if cut.isprintable() else cut.encode("unicode_escape").decode()
