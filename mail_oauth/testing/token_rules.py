"""Refresh and access tokens: families, rotation, reuse, revocation."""

from collections.abc import Mapping
from typing import Any

from oauthlib.common import Request
from oauthlib.oauth2.rfc6749 import errors

from mail_oauth.testing.personalities import Renewal
from mail_oauth.testing.records import AccessToken
from mail_oauth.testing.refusals import Reason
from mail_oauth.testing.rules import Owner, Rules, owner_of


class TokenRules(Rules):
    """The rules about tokens."""

    def validate_refresh_token(
        self, refresh_token: str, client: Any, request: Request, *args: Any, **kwargs: Any
    ) -> bool:
        """Whether the refresh token is good; with reuse detection a spent one kills its family."""
        found = self.store.refresh_token(refresh_token)
        policy = self.policy()
        refused = policy.refuses_refresh(
            found, personality=self.personality.name, client_id=str(request.client_id), now=self.clock()
        )
        if found is None or refused:
            if refused is Reason.SPENT_TOKEN and found and policy.detect_reuse:
                self.store.end([found[1]], Reason.REUSED)
            raise errors.InvalidGrantError(description=(refused or Reason.UNKNOWN_TOKEN).value)
        family = found[1]
        account = self.store.accounts[family.subject]
        request.user = Owner(account=account, scopes=family.scopes, offline=True, family=family)
        return True

    def rotate_refresh_token(self, request: Request) -> bool:
        """Whether the reply carries a new refresh token."""
        return self.policy().renews(self.personality)

    def wants_refresh_token(self, request: Request) -> bool:
        """Whether the reply carries any refresh token at all."""
        if request.grant_type == "refresh_token":
            return self.personality.renewal is not Renewal.ON_REQUEST or self.policy().rotate_google
        return owner_of(request).offline

    def save_bearer_token(self, token: Mapping[str, Any], request: Request, *args: Any, **kwargs: Any) -> None:
        """One transition: redeem the code or spend the old refresh token, and remember the new tokens."""
        now = self.clock()
        family = owner_of(request).family or self.store.open_family(str(request.code))
        self.store.mark_used(family.id, now)
        fresh = token.get("refresh_token")
        if fresh and fresh != request.refresh_token:
            if request.refresh_token and self.policy().rotate:
                self.store.spend(request.refresh_token, now)
            self.store.put_refresh_token(fresh, family.id)
        self.store.put_access_token(
            token["access_token"],
            AccessToken(
                family=family.id,
                scopes=tuple(request.scopes or ()),
                expires_at=now + self.policy().access_token_seconds,
            ),
            now,
        )

    def introspect_token(
        self, token: str, token_type_hint: str | None, request: Request, *args: Any, **kwargs: Any
    ) -> dict[str, Any] | None:
        """What a mail server may know of a living access token of this personality; ``None`` for any other.

        ``username`` is the mailbox address (RFC 7662 section 2.2). A refresh token is none of a mail server's
        business: called active, it would open the mailbox.
        """
        found = self.store.living_access_token(token, self.clock())
        if found is None or found[1].personality != self.personality.name:
            return None
        record, family = found
        return {
            "username": self.store.accounts[family.subject].email,
            "scope": " ".join(record.scopes),
            "client_id": family.client_id,
            "token_type": "Bearer",
            "exp": int(record.expires_at),
            "sub": family.subject,
        }

    def revoke_token(self, token: str, token_type_hint: str, request: Request, *args: Any, **kwargs: Any) -> None:
        """Kill the token's family; at Google every grant of the account. Unknown tokens are no error."""
        found = self.store.refresh_token(token) or self.store.access_token(token)
        if found is None:
            return
        family = found[1]
        if self.personality.revoke_needs_client and family.client_id != request.client_id:
            return
        whole = self.personality.revoke_ends_all_grants
        families = self.store.families_of(family.subject, self.personality.name) if whole else [family]
        self.store.end(families, Reason.REVOKED)
