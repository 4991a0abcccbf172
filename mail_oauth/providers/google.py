"""Gmail and Google Workspace."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from mail_oauth.providers.certificates import source_of
from mail_oauth.providers.contract import Provider
from mail_oauth.providers.service_accounts import ServiceAccount
from mail_oauth.tokens import HttpReply, Identity, MailEndpoint, MailServer
from mail_oauth.transport import TokenEndpoint

_TESTING_DAYS = 7


class Google(Provider):
    """One scope serves IMAP, POP and SMTP; it is restricted, so an app in production must be verified.

    `TESTING`: the app's publishing status is "Testing", under which each grant ends seven days after consent.
    """

    display_name = "Google"
    brand = "google"
    error_family = "google"
    authorize_url = "https://accounts.google.com/o/oauth2/v2/auth"
    token_url = "https://oauth2.googleapis.com/token"  # noqa: S105  # a URL, no password
    revoke_url = "https://oauth2.googleapis.com/revoke"
    userinfo_url = "https://openidconnect.googleapis.com/v1/userinfo"
    jwks_url = "https://www.googleapis.com/oauth2/v3/certs"
    issuer = "https://accounts.google.com"
    account_url = "https://myaccount.google.com/connections"
    scopes = ("openid", "email", "https://mail.google.com/")
    # Without both, a refresh token comes at the very first consent only.
    authorize_parameters = {"access_type": "offline", "prompt": "consent"}
    revokes_whole_account = True
    grant_days = 180  # six months without use (Google's OAuth 2.0 page, refresh token expiration)
    imap = MailServer(host="imap.gmail.com", port=993)
    pop = MailServer(host="pop.gmail.com", port=995)
    smtp = MailServer(host="smtp.gmail.com", port=465)
    # The Gmail API's users.messages.send takes the scope of IMAP and SMTP.
    mail_endpoint = MailEndpoint(
        url="https://gmail.googleapis.com/upload/gmail/v1/users/me/messages/send?uploadType=media",
        resource="mail",
        content_type="message/rfc822",
    )
    protocol_scopes = dict.fromkeys(("IMAP", "POP", "SMTP"), "https://mail.google.com/")

    offers_app_access = True
    OPTIONS: ClassVar[frozenset[str]] = Provider.OPTIONS | {"TESTING", "SERVICE_ACCOUNT"}

    def needed_options(self) -> tuple[str, ...]:
        """A service account is a client of its own."""
        return ("SERVICE_ACCOUNT",) if self.is_app_only else super().needed_options()

    def service_account(self) -> ServiceAccount:
        """Return the service account that an administrator lets into the mailboxes of a domain."""
        where = f'MAIL_OAUTH["PROVIDERS"]["{self.alias}"]["SERVICE_ACCOUNT"]'
        return ServiceAccount(source_of(self.options.get("SERVICE_ACCOUNT", "")), where)

    def ask_for_app(self, endpoint: TokenEndpoint, mailbox: str, scope: str) -> HttpReply:
        """Ask as the mailbox's user (domain-wide delegation)."""
        shown = self.service_account().assertion(subject=mailbox, scope=scope, audience=endpoint.url)
        return endpoint.exchange(shown)

    def grant_ends_at(self, connected_at: datetime, used_at: datetime) -> datetime | None:
        """Use does not prolong the grants of an app in testing."""
        if self.options.get("TESTING"):
            return connected_at + timedelta(days=_TESTING_DAYS)
        return super().grant_ends_at(connected_at, used_at)

    def accepts_issuer(self, claims: Mapping[str, Any]) -> bool:
        """Its id_tokens may name it without the scheme (Google's OpenID Connect page, "iss")."""
        issuer = self.setting("ISSUER")
        return claims.get("iss") in (issuer, issuer.removeprefix("https://"))

    def identity_from(self, claims: Mapping[str, Any]) -> Identity:
        """One account has one issuer, however it was written."""
        return super().identity_from({**claims, "iss": self.setting("ISSUER")})
