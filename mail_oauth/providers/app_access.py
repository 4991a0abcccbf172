"""What `Provider` knows of access without a user: an app that is let into mailboxes by their administrator.

`ACCESS` says for whom an alias gets tokens: `user`, who consents, or `app`, for which an administrator has consented once
and for all. There is no refresh token then (RFC 6749 §4.4.3): a new access token is asked for by what the app is known by.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from mail_oauth.exceptions import ConfigurationError
from mail_oauth.providers.scoping import NOT_MAIL_SCOPES, Scoping
from mail_oauth.tokens import HttpReply
from mail_oauth.transport import ClientAssertion, TokenEndpoint

ACCESS = ("user", "app")
"""For whom an alias gets tokens."""


class AppAccess(Scoping):
    """The part of a provider that gets tokens without a user."""

    options: Mapping[str, Any]
    offers_app_access: ClassVar[bool] = False
    """Whether `"ACCESS": "app"` is possible."""
    shares_app_token: ClassVar[bool] = False
    """Whether one token of the app opens each mailbox that it is let into; else each has a token of its own."""
    access: ClassVar[str] = "user"
    error_family: ClassVar[str] = ""
    """Selects the provider's own codes in the table of failures."""
    needs_secret: ClassVar[bool] = True
    required_options: ClassVar[tuple[str, ...]] = ("CLIENT_ID",)

    @property
    def is_app_only(self) -> bool:
        """Whether its mailboxes have no user."""
        return bool(self.setting("ACCESS") == "app")

    @property
    def family(self) -> str:
        """Which codes of the table of failures are the provider's own: they may mean something else where nobody consents."""
        return f"{self.error_family}_app" if self.is_app_only else self.error_family

    @property
    def app_name(self) -> str:
        """By what the app is known to the provider."""
        return str(self.options.get("CLIENT_ID", ""))

    @property
    def app_tenant(self) -> str:
        """The organisation whose mailboxes the app's own token opens; empty where each mailbox has its own."""
        return ""

    @property
    def app_scope(self) -> str:
        """The scope that the app asks for on its own behalf."""
        return " ".join(scope for scope in self.requested_scopes if scope not in NOT_MAIL_SCOPES)

    def client_assertions(self) -> tuple[ClientAssertion, ...]:
        """Return what the client shows instead of a secret, the preferred one first."""
        return ()

    def ask_for_app(self, endpoint: TokenEndpoint, mailbox: str, scope: str) -> HttpReply:
        """Ask for a token that opens `mailbox`. Raises `TransportError`, and `ConfigurationError` where that is not possible."""
        raise ConfigurationError(f'MAIL_OAUTH["PROVIDERS"]["{self.alias}"] gives no access without a user.')

    def needed_options(self) -> tuple[str, ...]:
        """Return the options that must be there."""
        by_secret = self.needs_secret and not self.client_assertions()
        return (*self.required_options, "CLIENT_SECRET") if by_secret else self.required_options

    def access_problems(self, where: str) -> list[str]:
        """Say in full sentences what is wrong with `ACCESS`."""
        access = self.setting("ACCESS")
        if access not in ACCESS:
            return [f'{where}["ACCESS"] is one of {", ".join(ACCESS)}.']
        if self.is_app_only and not self.offers_app_access:
            return [
                f'{where}["ACCESS"]: there is access without a user at Microsoft and Google only. Take it out.'
            ]
        return []
