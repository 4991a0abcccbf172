"""What a test may look at: calls, secrets, who holds which token."""

from collections.abc import Callable

from mail_oauth.testing.claims import identity_claims
from mail_oauth.testing.personalities import PERSONALITIES
from mail_oauth.testing.policy import Policy, has_lapsed
from mail_oauth.testing.recorder import Call, Recorder
from mail_oauth.testing.records import AccessInfo, Account, Client, Family
from mail_oauth.testing.store import Store


class Inspection:
    """The questions that `FakeProvider` answers about itself; none of them changes anything but the record."""

    client_id: str
    policy: Policy
    _store: Store
    _recorder: Recorder
    _clock: Callable[[], float]

    def claims_of(self, email: str, personality: str, client_id: str | None = None) -> dict[str, object]:
        """What an id_token for all OpenID scopes says about an account (``sub``, ``oid``, ``tid`` …)."""
        scopes = ("openid", "profile", "email")
        return identity_claims(
            PERSONALITIES[personality], self._account(email), client_id or self.client_id, scopes
        )

    def knows(self, email: str) -> bool:
        """Whether somebody with this address can sign in without being added first."""
        return self._store.account_at(email) is not None

    def access_info(self, token: str) -> AccessInfo | None:
        """Whose valid access token this is and what it opens; ``None`` when it is not valid."""
        with self._store.lock:
            found = self._store.living_access_token(token, self._clock())
            if found is None:
                return None
            record, family = found
            app = self._store.apps.get(family.client_id)
            return AccessInfo(
                email=self._store.accounts[family.subject].email,
                subject=family.subject,
                personality=family.personality,
                client_id=family.client_id,
                scopes=record.scopes,
                expires_at=record.expires_at,
                is_app=family.subject.startswith("app-"),
                app_mailboxes=app.mailboxes if app else None,
            )

    def is_valid_access_token(self, token: str, email: str | None = None, scope: str | None = None) -> bool:
        """Whether a resource server would take ``token``, for this account and scope when given."""
        info = self.access_info(token)
        if info is None or (scope is not None and scope not in info.scopes):
            return False
        return email is None or info.opens(email)

    def tokens_of(self, email: str, personality: str | None = None) -> list[Family]:
        """The account's grants, oldest first: scopes, why one ended, its newest refresh token."""
        return self._store.families_of(self._account(email).subject, personality)

    def newest_refresh_token(self, email: str, personality: str = "microsoft") -> str | None:
        """The last refresh token issued in the account's newest living grant."""
        return next((each.newest for each in reversed(self.tokens_of(email, personality)) if each.newest), None)

    def is_current_refresh_token(self, token: str) -> bool:
        """Whether a refresh with ``token`` would succeed now."""
        with self._store.lock:
            found = self._store.refresh_token(token)
            return (
                found is not None
                and self.policy.refuses_refresh(
                    found, personality=found[1].personality, client_id=found[1].client_id, now=self._clock()
                )
                is None
            )

    def living_grants(self, email: str, personality: str | None = None) -> int:
        """How many of the account's grants are alive."""
        now = self._clock()
        return sum(each.ended is None and not has_lapsed(each, now) for each in self.tokens_of(email, personality))

    @property
    def calls(self) -> list[Call]:
        """Every endpoint call so far, oldest first; a copy, without tokens."""
        return self._recorder.calls()

    def token_calls(
        self,
        grant_type: str | None = None,
        *,
        personality: str | None = None,
        email: str | None = None,
        status: int | None = None,
    ) -> list[Call]:
        """The calls of the token endpoint that match."""
        wanted = {"grant_type": grant_type, "personality": personality, "email": email, "status": status}
        asked = {name: value for name, value in wanted.items() if value is not None}
        return [
            call
            for call in self.calls
            if call.endpoint == "token" and all(getattr(call, name) == asked[name] for name in asked)
        ]

    def clear_calls(self) -> None:
        """Forget the calls so far."""
        self._recorder.clear_calls()

    @property
    def issued(self) -> frozenset[str]:
        """Every secret ever issued or received, of 8 characters or more: what no log may hold."""
        return frozenset(self._recorder.secrets())

    @property
    def issued_in(self) -> dict[str, str]:
        """The same, each with the field that it stood in, such as ``"access_token"``."""
        return self._recorder.secrets()

    def _account(self, email: str) -> Account:
        account = self._store.account_at(email)
        if account is None:
            raise KeyError(f"The fake provider has no account {email!r}: call add_account() first.")
        return account

    def _client(self, client_id: str) -> Client:
        client = self._store.clients.get(client_id)
        if client is None:
            raise KeyError(f"The fake provider has no client {client_id!r}: call add_client() first.")
        return client
