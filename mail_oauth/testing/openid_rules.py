"""OpenID Connect: what id_tokens and userinfo say, and to whom."""

from typing import Any

from oauthlib.common import Request

from mail_oauth.testing import personalities
from mail_oauth.testing.claims import identity_claims
from mail_oauth.testing.rules import Owner, Rules, owner_of


class OpenIDRules(Rules):
    """The rules about id_tokens and userinfo."""

    def validate_bearer_token(self, token: str | None, scopes: list[str], request: Request) -> bool:
        """Whether an access token opens userinfo; Microsoft's must be for Graph."""
        found = self.store.living_access_token(token or "", self.clock())
        if found is None:
            return False
        record, family = found
        if family.personality != self.personality.name or not set(scopes) <= set(record.scopes):
            return False
        if self.personality.one_resource_per_token:
            audiences = personalities.resources_of(record.scopes)
            if audiences and audiences[0] != personalities.GRAPH:
                return False
        account = self.store.accounts[family.subject]
        request.user = Owner(account=account, scopes=record.scopes, family=family)
        return True

    def finalize_id_token(
        self, id_token: dict[str, Any], token: dict[str, Any], token_handler: Any, request: Request
    ) -> str:
        """Add who the account is, and sign."""
        owner = owner_of(request)
        now = int(self.clock())
        claims = {
            **id_token,
            "iss": personalities.issuer_of(self.personality, self.base_url(), owner.account.tenant),
            "iat": now,
            "nbf": now,
            "exp": now + int(token["expires_in"]),
            **identity_claims(
                self.personality, owner.account, str(request.client_id), tuple(request.scopes or ())
            ),
        }
        return self.keys.sign(claims)

    def get_userinfo_claims(self, request: Request) -> dict[str, Any]:
        """The same facts as in the id_token."""
        owner = owner_of(request)
        client_id = owner.family.client_id if owner.family else ""
        return identity_claims(self.personality, owner.account, client_id, owner.scopes)

    def validate_silent_login(self, request: Request) -> bool:
        """Nobody is ever signed in: ``prompt=none`` yields ``login_required``."""
        return False

    def validate_silent_authorization(self, request: Request) -> bool:
        """See `validate_silent_login`."""
        return False

    def validate_user_match(self, *args: Any, **kwargs: Any) -> bool:
        """The consent page settles who signs in."""
        return True
