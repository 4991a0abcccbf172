"""What the provider tells about people."""

from typing import Any

from oauth2_provider.oauth2_validators import OAuth2Validator

from tests.toolkit.provider.people import GRACE


class ClaimsValidator(OAuth2Validator):
    def get_additional_claims(self) -> dict[str, Any]:
        return {"email": lambda request: request.user.email, "email_verified": lambda _: True}

    def get_id_token_dictionary(self, token: Any, token_handler: Any, request: Any) -> Any:
        claims, expires = super().get_id_token_dictionary(token, token_handler, request)
        if request.user.username == GRACE:
            del claims["email"], claims["email_verified"]
        return claims, expires
