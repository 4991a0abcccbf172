"""Authorization codes: bound to client, redirect URI and PKCE, good once, and not for long."""

from collections.abc import Mapping
from typing import Any

from oauthlib.common import Request
from oauthlib.oauth2.rfc6749 import errors

from mail_oauth.testing.personalities import Offline
from mail_oauth.testing.policy import refuses_code
from mail_oauth.testing.records import Account, AuthorizationCode
from mail_oauth.testing.refusals import Reason
from mail_oauth.testing.rules import Owner, Rules, owner_of


class CodeRules(Rules):
    """The rules about authorization codes."""

    def refuse_plain_challenge(self, request: Request) -> dict[str, Any]:
        """Only S256, as RFC 9700 section 2.1.1 asks; a hook of the authorization endpoint."""
        if request.code_challenge is not None and request.code_challenge_method != "S256":
            raise errors.UnsupportedCodeChallengeMethodError(request=request)
        return {}

    def save_authorization_code(
        self, client_id: str, code: Mapping[str, Any], request: Request, *args: Any, **kwargs: Any
    ) -> None:
        """Bind the code to client, redirect URI, challenge, nonce, account and granted scopes."""
        owner = owner_of(request)
        record = AuthorizationCode(
            personality=self.personality.name,
            client_id=client_id,
            subject=owner.account.subject,
            redirect_uri=str(request.redirect_uri),
            scopes=tuple(request.scopes or ()),
            offline=self._is_offline(request, owner.account, client_id),
            expires_at=self.clock() + self.policy().code_seconds,
            nonce=request.nonce,
            challenge=request.code_challenge,
            challenge_method=request.code_challenge_method,
        )
        self.store.put_code(code["code"], record)

    def _is_offline(self, request: Request, account: Account, client_id: str) -> bool:
        if self.personality.offline is Offline.SCOPE:
            return "offline_access" in (request.scopes or ())
        if self.personality.offline is Offline.ALWAYS:
            return True
        first = (self.personality.name, client_id, account.subject) not in self.store.consents
        asked = "consent" in str(request.prompt or "").split()
        return getattr(request, "access_type", None) == "offline" and (first or asked)

    def _code(self, code: str) -> AuthorizationCode | None:
        return self.store.code(code)

    def validate_code(
        self, client_id: str, code: str, client: Any, request: Request, *args: Any, **kwargs: Any
    ) -> bool:
        """Whether the code is good; a second use kills what the first one gave (RFC 6749 section 4.1.2)."""
        record = self._code(code)
        refused = refuses_code(record, personality=self.personality.name, client_id=client_id, now=self.clock())
        if record is None or refused:
            if refused is Reason.CODE_REDEEMED and record and record.family and self.policy().detect_reuse:
                self.store.end([self.store.families[record.family]], Reason.REUSED)
            raise errors.InvalidGrantError(description=(refused or Reason.UNKNOWN_CODE).value)
        account = self.store.accounts[record.subject]
        request.user = Owner(account=account, scopes=record.scopes, offline=record.offline, nonce=record.nonce)
        request.scopes = list(record.scopes)
        return True

    def confirm_redirect_uri(
        self, client_id: str, code: str, redirect_uri: str, *args: Any, **kwargs: Any
    ) -> bool:
        """The redirect URI must be the one that the code was sent to."""
        record = self._code(code)
        if record is None or record.redirect_uri != redirect_uri:
            # oauthlib would say invalid_request; RFC 6749 section 5.2 says invalid_grant.
            raise errors.InvalidGrantError(description=Reason.REDIRECT_MISMATCH.value)
        return True

    def get_code_challenge(self, code: str, request: Request) -> str:
        """The PKCE challenge of the authorization request."""
        record = self._code(code)
        # oauthlib asks for None where there is none; its stub does not say so.
        return record.challenge if record else None  # type: ignore[return-value]

    def get_code_challenge_method(self, code: str, request: Request) -> str:
        """The PKCE method of the authorization request."""
        record = self._code(code)
        return (record.challenge_method if record else None) or "plain"

    def invalidate_authorization_code(self, *args: Any, **kwargs: Any) -> None:
        """`save_bearer_token` has already marked it, together with the tokens."""

    def get_authorization_code_scopes(
        self, client_id: str, code: str, redirect_uri: str, request: Request
    ) -> list[str]:
        """What the user granted with this code; decides whether there will be an id_token."""
        record = self._code(code)
        return list(record.scopes) if record else []

    def get_authorization_code_nonce(self, client_id: str, code: str, redirect_uri: str, request: Request) -> str:
        """The nonce of the authorization request."""
        return owner_of(request).nonce  # type: ignore[return-value]  # None is oauthlib's "no nonce"
