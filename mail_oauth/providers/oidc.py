"""Any OpenID Connect provider, by discovery (OIDC Discovery §4)."""

from __future__ import annotations

from typing import Any, ClassVar
from urllib.parse import urlsplit

from mail_oauth.exceptions import ConfigurationError, TransportError
from mail_oauth.providers.contract import ENDPOINTS, Provider
from mail_oauth.providers.documents import document
from mail_oauth.transport import address_problem

_ENDPOINTS = {
    "AUTHORIZE_URL": "authorization_endpoint",
    "TOKEN_URL": "token_endpoint",
    "REVOKE_URL": "revocation_endpoint",
    "USERINFO_URL": "userinfo_endpoint",
    "JWKS_URL": "jwks_uri",
}
_METADATA = "/.well-known/oauth-authorization-server"
_NOT_THERE = frozenset(f"http_{status}" for status in (200, 301, 302, 307, 308, 400, 401, 403, 404, 405, 406, 410))
"""How servers say that they have no such document; anything else passes, and is asked again."""


class OpenIDConnect(Provider):
    """Needs `ISSUER`; every endpoint comes from its discovery document unless an option names it."""

    needs_secret = False
    scopes = ("openid", "email", "offline_access")
    # Some drop offline_access silently without the prompt (OIDC Core §11).
    authorize_parameters = {"prompt": "consent"}
    required_options: ClassVar[tuple[str, ...]] = ("CLIENT_ID", "ISSUER")

    def setting(self, name: str) -> Any:
        """Return an option, else what discovery says."""
        if name in _ENDPOINTS and name not in self.options:
            found = self.discovered().get(_ENDPOINTS[name])
            return found if isinstance(found, str) else ""
        return super().setting(name)

    def discovered(self) -> dict[str, Any]:
        """Return the discovery document. Raises `ConfigurationError` when it is another issuer's."""
        issuer = str(self.options["ISSUER"])
        found = document(self.discovery_url())
        if not self.calls_itself(found.get("issuer")):
            raise ConfigurationError(
                f'The discovery document of {issuer} names another issuer: write "ISSUER": {str(found.get("issuer"))[:255]!r}.'
            )
        return found

    def expects_issuer(self) -> bool:
        """Whether discovery promises `iss` in the callback (RFC 9207 §3)."""
        return self.discovered().get("authorization_response_iss_parameter_supported") is True

    def revocation_url(self) -> str:
        """Return the revocation endpoint, which RFC 8414 has in its metadata and OIDC Discovery does not.

        django-oauth-toolkit names it there alone. Raises `TransportError` for want of an answer.
        """
        if named := super().revocation_url():
            return named
        found = self._server_metadata().get("revocation_endpoint")
        return found if isinstance(found, str) else ""

    def _server_metadata(self) -> dict[str, Any]:
        """Return the metadata of the authorization server (RFC 8414 §3), empty where it publishes none.

        The well-known name goes before the issuer's path; behind it is where many serve it nevertheless.
        """
        issuer = str(self.options["ISSUER"])
        path = urlsplit(issuer).path.rstrip("/")
        host = issuer.rstrip("/").removesuffix(path)
        for place in dict.fromkeys((f"{host}{_METADATA}{path}", f"{host}{path}{_METADATA}")):
            try:
                found = document(place)
            except TransportError as error:
                if error.cause not in _NOT_THERE:
                    raise
            else:
                if found.get("issuer") == issuer:  # RFC 8414 §3.3: else it must not be used
                    return found
        return {}

    def endpoint_problems(self) -> list[str]:
        """Only the issuer, and what options name, is known without a network call."""
        urls = [self.options[name] for name in ("ISSUER", *ENDPOINTS) if name in self.options]
        return [problem for url in urls if (problem := address_problem(str(url)))]
