"""What a source says of one mailbox, and what a source is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from mail_oauth.tokens import Secret

PAGE = 500
"""How many entries are read, and written, at once."""

LIFETIME = timedelta(hours=1)
"""How long before its end an access token is taken to have been issued, where nobody says when it was."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One grant of a source, as its source has it; what it does not say is empty.

    `where` names it for people, and holds no secret. `user` and `provider` are the source's own names for them.
    `scopes` is None where nobody says what was granted. `claims` are those of a stored id_token, of which no signature
    was checked: they are as trustworthy as the source. A `subject` without an `issuer` is the provider's own `sub`.
    `standing` is what an export of this app says besides (`mail_oauth.moving.standing`); None for other sources.
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

    @property
    def moment(self) -> datetime | None:
        """When its tokens were issued, as far as can be told; None where nobody knows. By it entries are older or newer."""
        if self.issued_at is not None and (self.expires_at is None or self.issued_at < self.expires_at):
            return self.issued_at
        return None if self.expires_at is None else self.expires_at - LIFETIME


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
