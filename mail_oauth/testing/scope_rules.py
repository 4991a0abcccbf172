"""Which scopes may be asked for, and which of those granted a token carries."""

from typing import Any

from oauthlib.common import Request
from oauthlib.oauth2.rfc6749 import errors

from mail_oauth.testing import personalities
from mail_oauth.testing.refusals import Reason
from mail_oauth.testing.rules import Rules, owner_of


class ScopeRules(Rules):
    """The rules about scopes."""

    def get_default_scopes(self, *args: Any, **kwargs: Any) -> list[str]:
        """A request without ``scope`` is refused."""
        return []

    def validate_scopes(self, client_id: str, scopes: list[str], *args: Any, **kwargs: Any) -> bool:
        """Any scope may be asked for, but one must."""
        return any(scopes)

    def get_original_scopes(self, refresh_token: str, request: Request, *args: Any, **kwargs: Any) -> list[str]:
        """What the user consented to."""
        return list(owner_of(request).scopes)

    def is_within_original_scope(
        self, request_scopes: list[str], refresh_token: str, request: Request, *args: Any, **kwargs: Any
    ) -> bool:
        """Microsoft takes OpenID's scopes unasked, and answers others with AADSTS65001."""
        beyond = set(request_scopes) - set(owner_of(request).scopes) - self.personality.hidden_scopes
        if beyond and self.personality.one_resource_per_token:
            raise errors.InvalidGrantError(description=Reason.NOT_CONSENTED.value)
        return not beyond

    def narrow_to_one_resource(self, request: Request) -> None:
        """Microsoft's access tokens have one audience (AADSTS28000); a hook of the token endpoint."""
        if not self.personality.one_resource_per_token:
            return
        asked = tuple((request.scope or "").split())
        if len(personalities.resources_of(asked)) > 1:
            raise errors.InvalidScopeError(description=Reason.MIXED_RESOURCES.value)
        granted = {*owner_of(request).scopes, *self.personality.hidden_scopes}
        scopes = tuple(scope for scope in asked if scope in granted) or tuple(owner_of(request).scopes)
        request.scopes = list(personalities.first_resource_only(scopes))

    def refuse_hint_with_select_account(self, request: Request) -> dict[str, Any]:
        """Microsoft refuses both at once; a hook of the authorization endpoint."""
        both = request.login_hint and request.prompt == "select_account"
        if both and self.personality.select_account_excludes_hint:
            raise errors.InvalidRequestError(description=Reason.HINT_AND_SELECT.value, request=request)
        return {}
