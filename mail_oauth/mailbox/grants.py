"""What this room knows of a mailbox."""

from __future__ import annotations

from typing import Protocol

from mail_oauth.tokens import AccessToken, Secret


class Grant(Protocol):
    """Access tokens, and to what they belong; `MailCredentials` is one."""

    @property
    def provider(self) -> str:
        """The provider's alias."""

    @property
    def email(self) -> str:
        """The mailbox's address."""

    @property
    def scopes(self) -> tuple[str, ...]:
        """What the provider granted."""

    def get_access_token(self, *, resource: str = "mail") -> AccessToken:
        """Return a valid token for a resource of the provider. Raises a `MailboxError`."""

    def report_rejected(self, access_token: Secret, /, *, resource: str = "mail") -> AccessToken:
        """Return another token than one that a server refused. Raises a `MailboxError`."""


class Sender(Grant, Protocol):
    """A mailbox that sends over HTTP."""

    @property
    def address_typed(self) -> bool:
        """Whether `email` is another mailbox than the account's own."""
