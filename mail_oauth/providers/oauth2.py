"""Any OAuth 2.0 provider, by its endpoints."""

from typing import ClassVar

from mail_oauth.providers.contract import Provider


class OAuth2(Provider):
    """Needs `AUTHORIZE_URL`, `TOKEN_URL` and `SCOPES`; the user types the mailbox address."""

    needs_secret = False
    names_account = False
    required_options: ClassVar[tuple[str, ...]] = ("CLIENT_ID", "AUTHORIZE_URL", "TOKEN_URL", "SCOPES")
