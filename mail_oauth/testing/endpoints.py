"""oauthlib's endpoints, put together for one personality: the code flow and refreshing, nothing else.

oauthlib's ready-made ``Server`` also offers the implicit and password grants, which none of the imitated
providers do any more.
"""

import secrets
from typing import Any

from oauthlib.common import Request
from oauthlib.oauth2.rfc6749.endpoints import (
    AuthorizationEndpoint,
    IntrospectEndpoint,
    RevocationEndpoint,
    TokenEndpoint,
)
from oauthlib.oauth2.rfc6749.grant_types import AuthorizationCodeGrant, ClientCredentialsGrant
from oauthlib.oauth2.rfc6749.grant_types import RefreshTokenGrant as PlainRefreshGrant
from oauthlib.oauth2.rfc6749.tokens import BearerToken, OAuth2Token
from oauthlib.openid.connect.core.endpoints import UserInfoEndpoint
from oauthlib.openid.connect.core.grant_types import AuthorizationCodeGrant as OpenIDCodeGrant
from oauthlib.openid.connect.core.grant_types import RefreshTokenGrant
from oauthlib.openid.connect.core.grant_types.dispatchers import (
    AuthorizationCodeGrantDispatcher,
    AuthorizationTokenGrantDispatcher,
)

from mail_oauth.testing.app_rules import JWT_BEARER, grants_of
from mail_oauth.testing.personalities import TokenShape, scope_in_reply
from mail_oauth.testing.validator import Validator


def _random(shape: TokenShape) -> str:
    return shape.prefix + secrets.token_urlsafe(shape.length)[: shape.length - len(shape.prefix)]


class JwtBearerGrant(ClientCredentialsGrant):
    """Tokens for whoever signs for somebody else (RFC 7523 section 2.1)."""

    def validate_token_request(self, request: Request) -> None:
        """The assertion says everything."""
        validator: Any = self.request_validator
        validator.admit_service_account(request)


class PersonalityToken(BearerToken):
    """A bearer token whose refresh token is there only when the provider would give one."""

    __slots__ = ("rules",)

    def __init__(self, rules: Validator) -> None:
        self.rules = rules
        super().__init__(
            rules,
            token_generator=lambda _request: _random(rules.personality.access_token),
            expires_in=lambda _request: rules.policy().access_token_seconds,
            refresh_token_generator=lambda _request: _random(rules.personality.refresh_token),
        )

    def create_token(self, request: Request, refresh_token: bool = False, **kwargs: Any) -> OAuth2Token:
        """Make oauthlib's own token, with or without a refresh token."""
        wanted = refresh_token and self.rules.wants_refresh_token(request)
        return super().create_token(request, refresh_token=wanted, **kwargs)


class Endpoints(AuthorizationEndpoint, TokenEndpoint, RevocationEndpoint, UserInfoEndpoint):
    """Every endpoint of one personality."""

    def __init__(self, rules: Validator) -> None:
        self.rules = rules
        bearer: Any = PersonalityToken(rules)  # oauthlib's stubs call a token handler a string
        plain, openid, refresh = self._grants()
        by_scope = AuthorizationCodeGrantDispatcher(default_grant=plain, oidc_grant=openid)
        by_code = AuthorizationTokenGrantDispatcher(rules, default_grant=plain, oidc_grant=openid)
        AuthorizationEndpoint.__init__(
            self, default_response_type="code", default_token_type=bearer, response_types={"code": by_scope}
        )
        TokenEndpoint.__init__(
            self,
            default_grant_type="authorization_code",
            default_token_type=bearer,
            grant_types={"authorization_code": by_code, "refresh_token": refresh, **self._grants_without_user()},
        )
        RevocationEndpoint.__init__(self, rules)
        UserInfoEndpoint.__init__(self, rules)

    def _grants(self) -> tuple[Any, Any, Any]:
        """The code grant without and with OpenID, and the refresh grant, with the personality's hooks."""
        rules = self.rules
        plain: Any = AuthorizationCodeGrant(rules)
        # Without OpenID Connect the scope "openid" is a scope like any other.
        openid: Any = OpenIDCodeGrant(rules) if rules.personality.is_oidc else plain
        refresh: Any = RefreshTokenGrant(rules) if rules.personality.is_oidc else PlainRefreshGrant(rules)
        for grant in {plain, openid, refresh}:
            grant.register_token_modifier(self._word_the_reply)
            grant.custom_validators.post_token.append(rules.narrow_to_one_resource)
        for grant in {plain, openid}:
            grant.custom_validators.pre_auth.append(rules.refuse_hint_with_select_account)
            grant.custom_validators.pre_auth.append(rules.refuse_plain_challenge)
        return plain, openid, refresh

    def _grants_without_user(self) -> dict[str, Any]:
        """Those that the personality knows, by grant type."""
        made: dict[str, Any] = {
            "client_credentials": ClientCredentialsGrant(self.rules),
            JWT_BEARER: JwtBearerGrant(self.rules),
        }
        known = {name: grant for name, grant in made.items() if name in grants_of(self.rules.personality)}
        for grant in known.values():
            grant.register_token_modifier(self._word_the_apps_reply)
        if "client_credentials" in known:
            known["client_credentials"].custom_validators.post_token.append(self.rules.admit_app)
        return known

    def _word_the_apps_reply(self, token: dict[str, Any]) -> dict[str, Any]:
        """Neither names the scopes of such a token."""
        token.pop("scope", None)
        if self.rules.personality.one_resource_per_token:
            token["ext_expires_in"] = token["expires_in"]
        return token

    def _word_the_reply(self, token: dict[str, Any], _handler: Any, request: Request) -> dict[str, Any]:
        personality = self.rules.personality
        token["scope"] = scope_in_reply(personality, tuple(request.scopes or ()))
        if personality.one_resource_per_token:
            token["ext_expires_in"] = token["expires_in"]
        return token


class Introspection(IntrospectEndpoint):
    """Where a mail server asks whom a token belongs to and what it opens (RFC 7662)."""

    def _raise_on_invalid_client(self, request: Request) -> None:
        """Whoever asks authenticates with a secret (RFC 7662 section 2.1), where revoking asks for none too."""
        self.request_validator.authenticate_client(request)
