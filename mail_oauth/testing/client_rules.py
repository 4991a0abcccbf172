"""Which client asks, whether it may, and where its user may be sent back."""

import hmac
from typing import Any

from oauthlib.common import Request
from oauthlib.oauth2.rfc6749 import errors

from mail_oauth.testing.app_rules import AppRules, grants_of
from mail_oauth.testing.records import Client
from mail_oauth.testing.refusals import Reason
from mail_oauth.testing.rules import basic_credentials


class ClientRules(AppRules):
    """The rules about clients."""

    def client_authentication_required(self, request: Request, *args: Any, **kwargs: Any) -> bool:
        """Public clients, and Google's revocation endpoint, name no secret."""
        if request.token is not None and not self.personality.revoke_needs_client:
            return False
        if getattr(request, "client_assertion", None):
            return True
        basic = basic_credentials(request.headers)
        client = self.store.clients.get(basic[0] if basic else request.client_id or "")
        return client is None or client.secret is not None

    def authenticate_client(self, request: Request, *args: Any, **kwargs: Any) -> bool:
        """Accept the secret from HTTP Basic or from the body, or an assertion."""
        if getattr(request, "client_assertion", None):
            return self.authenticate_by_assertion(request)
        basic = basic_credentials(request.headers)
        client_id, secret = basic or (request.client_id, request.client_secret)
        client = self.store.clients.get(client_id or "")
        if client is None or client.secret is None:
            raise errors.InvalidClientError(description=Reason.UNKNOWN_CLIENT.value)
        if not secret:
            raise errors.InvalidClientError(description=Reason.NO_SECRET.value)
        if not hmac.compare_digest(secret.encode(), client.secret.encode()):
            raise errors.InvalidClientError(description=Reason.BAD_SECRET.value)
        request.client = client
        request.client_id = client.client_id
        return True

    def authenticate_client_id(self, client_id: str, request: Request, *args: Any, **kwargs: Any) -> bool:
        """Accept a public client by its id; Google's revocation asks for none."""
        if request.token is not None and not self.personality.revoke_needs_client:
            return True
        basic = basic_credentials(request.headers)
        return self.validate_client_id(basic[0] if basic else client_id, request)

    def validate_client_id(self, client_id: str, request: Request, *args: Any, **kwargs: Any) -> bool:
        """Whether this client is registered."""
        client = self.store.clients.get(client_id or "")
        if client is None:
            return False
        request.client = client
        request.client_id = client.client_id
        return True

    def validate_redirect_uri(
        self, client_id: str, redirect_uri: str, request: Request, *args: Any, **kwargs: Any
    ) -> bool:
        """Whether this redirect URI is registered, exactly."""
        client: Client | None = self.store.clients.get(client_id)
        return client is not None and client.allows(redirect_uri, self.store.sites)

    def get_default_redirect_uri(self, *args: Any, **kwargs: Any) -> str:
        """There is none: ``redirect_uri`` must be sent, as all of these providers ask."""
        return ""

    def validate_response_type(self, client_id: str, response_type: str, *args: Any, **kwargs: Any) -> bool:
        """Only the code flow (RFC 9700 section 2.1.2)."""
        return response_type == "code"

    def validate_grant_type(self, client_id: str, grant_type: str, *args: Any, **kwargs: Any) -> bool:
        """Codes and refresh tokens are redeemed; what else there is depends on the personality."""
        return grant_type in grants_of(self.personality)

    def is_pkce_required(self, client_id: str, request: Request) -> bool:
        """Where the personality demands it, and for every public client (RFC 9700 section 2.1.1)."""
        client = self.store.clients.get(client_id)
        return self.personality.pkce_required or (client is not None and client.secret is None)
