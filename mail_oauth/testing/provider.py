"""A fake identity provider for tests and demos: Microsoft, Google, OpenID Connect and plain OAuth 2.0.

It is a real HTTP server on loopback, with oauthlib's server side behind it::

    with FakeProvider() as provider:
        provider.add_account("ada@example.com")
        callback = provider.authorize(authorize_url, email="ada@example.com")
"""

import ssl
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import jwt

from mail_oauth.testing import silence, statefile
from mail_oauth.testing.application import Application
from mail_oauth.testing.faults import Fault, Scope
from mail_oauth.testing.identities import new_account
from mail_oauth.testing.inspection import Inspection
from mail_oauth.testing.personalities import PERSONALITIES, urls_of
from mail_oauth.testing.policy import Policy
from mail_oauth.testing.records import Account
from mail_oauth.testing.refusals import Reason
from mail_oauth.testing.registrations import Registering
from mail_oauth.testing.seeding import seed, token_reply
from mail_oauth.testing.server import Server
from mail_oauth.testing.store import Store
from mail_oauth.testing.walker import walk

CLIENT_ID: Final = "fake-provider-client"
CLIENT_SECRET: Final = "fake-provider-secret-for-tests-and-demos"  # noqa: S105  # made up, and meant to be known


class FakeProvider(Inspection, Registering):
    """The provider; every duration is in seconds. See `Policy` for ``rotate`` and ``detect_reuse``.

    ``port`` 0 picks a free one. ``state_file`` keeps accounts and grants, as digests, for the next start.
    ``keep_secrets=False`` leaves `issued` empty, for a provider that runs for days. With ``tls``, a server
    context, the URL is an https one. ``clock`` replaces the provider's idea of the time.
    """

    def __init__(
        self,
        port: int = 0,
        access_token_seconds: int = 3600,
        rotate: bool = True,
        detect_reuse: bool = True,
        state_file: str | Path | None = None,
        *,
        code_seconds: int = 60,
        reuse_grace_seconds: float = 0,
        rotate_google: bool = False,
        client_id: str = CLIENT_ID,
        client_secret: str = CLIENT_SECRET,
        keep_secrets: bool = True,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.client_id, self.client_secret = client_id, client_secret
        self.policy = Policy(
            access_token_seconds=access_token_seconds,
            code_seconds=code_seconds,
            rotate=rotate,
            detect_reuse=detect_reuse,
            reuse_grace_seconds=reuse_grace_seconds,
            rotate_google=rotate_google,
        )
        self._port, self._tls, self._clock = port, tls, clock
        self._state_file = Path(state_file) if state_file else None
        self._server: Server | None = None
        self._store = Store()
        self._application = Application(
            store=self._store,
            policy=lambda: self.policy,
            base_url=lambda: self.url,
            clock=clock,
            keep_secrets=keep_secrets,
        )
        self._recorder = self._application.recorder
        self.add_client(client_id, client_secret)

    def __repr__(self) -> str:
        return f"<FakeProvider {self.url if self._server else 'stopped'}>"

    # --- life ---

    @property
    def url(self) -> str:
        """The base URL while the provider runs, without a slash at its end."""
        if self._server is None:
            raise RuntimeError("The fake provider is not running: call start(), or use it in a with statement.")
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._server.server_port}"

    def start(self) -> Self:
        """Load the state file, if there is one, and serve on 127.0.0.1: on the port of before, if it ran already.

        Raises `OSError` where that is taken.
        """
        if self._server is not None:
            raise RuntimeError("The fake provider is running already.")
        silence.install()
        if path := self._state_file:
            statefile.load(self._store, path)
            self._store.persist = lambda: statefile.save(self._store, path)
        self._server = Server(self._port, self._application.handle, tls=self._tls)
        self._port = self._server.server_port  # settings that lead here go on to do so
        self._server.start()
        return self

    def stop(self) -> None:
        """Close every connection and stop; the state stays, so that `start` goes on with it."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    @contextmanager
    def restored(self) -> Iterator[None]:
        """At the end of a ``with`` block, be as at its beginning: accounts, clients, grants, apps, policy; without faults.

        If it was running, it is started again. What it issued meanwhile stays in `issued`.
        """
        policy, ran = self.policy, self._server is not None
        try:
            with self._store.restored():
                yield
        finally:
            self.clear_faults()
            self.policy = policy
            if ran and self._server is None:
                self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- who and what is known ---

    def add_account(
        self,
        email: str,
        name: str | None = None,
        subject: str | None = None,
        tenant: str | None = None,
        **claims: object,
    ) -> Account:
        """Add somebody who can sign in.

        An account with the same ``subject`` is replaced (somebody changed their address); one with the same
        address only loses it (an address was recycled). ``claims`` override what id_tokens say.
        """
        account = new_account(email, name=name, subject=subject, tenant=tenant, claims=claims)
        self._store.put_account(account)
        return account

    def urls(self, personality: str, tenant: str = "common") -> dict[str, str]:
        """URLs by name: issuer, authorize, token, revoke, introspect, userinfo, jwks, discovery.

        What the personality lacks is absent: ``revoke`` at Microsoft, all but four at ``plain``.
        """
        return urls_of(PERSONALITIES[personality], self.url, tenant)

    # --- grants ---

    def authorize(
        self,
        authorize_url: str,
        email: str = "ada@example.com",
        deny: bool = False,
        scopes: Collection[str] | None = None,
    ) -> str:
        """Walk the real consent page over HTTP; the callback URL that it redirects to.

        An unknown ``email`` becomes an account. ``scopes`` are the mail scopes granted, all when ``None``.
        Raises `ConsentNotOffered` when the provider shows an error page instead.
        """
        return walk(authorize_url, email=email, deny=deny, scopes=scopes)

    def grant(
        self,
        email: str,
        personality: str = "microsoft",
        scope: str | Collection[str] | None = None,
        client_id: str | None = None,
    ) -> dict[str, Any]:
        """A token reply without the walk, to seed rows; faults do not strike and no call is recorded.

        It is redeemed through the same token endpoint, so family and rotation rules are those of a real one.
        """
        scopes = scope.split() if isinstance(scope, str) else scope or PERSONALITIES[personality].default_scopes
        account = self._store.account_at(email) or self.add_account(email)
        client = self._client(client_id or self.client_id)
        return seed(
            self._application,
            personality=PERSONALITIES[personality],
            account=account,
            client=client,
            scopes=tuple(scopes),
            now=self._clock(),
        )

    def grant_app(self, token_url: str, form: Mapping[str, str]) -> dict[str, Any]:
        """A token reply without a user, as `grant` gives one with: what the endpoint answers to an app's form."""
        return token_reply(self._application, token_url, form)

    def revoke(self, email: str, personality: str | None = None) -> None:
        """Kill the account's grants: the next refresh says ``invalid_grant``."""
        self.end_grants(email, personality, reason=Reason.REVOKED)

    def end_grants(self, email: str, personality: str | None = None, *, reason: Reason = Reason.EXPIRED) -> None:
        """Kill the account's grants for a reason of your choice, which decides the AADSTS number."""
        with self._store.lock:
            self._store.end(self._store.families_of(self._account(email).subject, personality), reason)

    def expire_access_tokens(self, email: str | None = None) -> None:
        """Make access tokens invalid at once, those of one account or all; refresh tokens stay good."""
        subject = self._account(email).subject if email else None
        self._store.drop_access_tokens(lambda _record, family: subject in {None, family.subject})

    # --- trouble ---

    def configure(self, **changes: Any) -> None:
        """Change settings of the running provider: the fields of `Policy`."""
        self.policy = replace(self.policy, **changes)

    def rotate_signing_key(self, *, keep_old: bool = True) -> str:
        """Sign id_tokens with a new key; without ``keep_old`` the JWKS drops the old ones. The new ``kid``."""
        return self._application.keys.rotate(keep_old=keep_old)

    def fail_next(
        self,
        n: int = 1,
        fault: Fault | None = None,
        *,
        endpoint: str | None = "token",
        personality: str | None = None,
        grant_type: str | None = None,
        email: str | None = None,
    ) -> None:
        """Let the next ``n`` requests fail, by default with an HTML 502; ``None`` in the scope means any."""
        scope = Scope(endpoint=endpoint, personality=personality, grant_type=grant_type, email=email)
        self._application.faults.arm(fault or Fault.html(), scope, times=n)

    @contextmanager
    def fault(
        self,
        fault: Fault,
        *,
        endpoint: str | None = "token",
        personality: str | None = None,
        grant_type: str | None = None,
        email: str | None = None,
    ) -> Iterator[None]:
        """Let every request in the scope fail while the context is open."""
        scope = Scope(endpoint=endpoint, personality=personality, grant_type=grant_type, email=email)
        number = self._application.faults.arm(fault, scope, times=None)
        try:
            yield
        finally:
            self._application.faults.disarm(number)

    @property
    def pending_faults(self) -> list[str]:
        """The names of the faults that are still to strike: a test can assert that its fault was met."""
        return self._application.faults.pending()

    def clear_faults(self) -> None:
        """Lift every fault."""
        self._application.faults.disarm()

    def id_token_fault(
        self,
        claims: Mapping[str, object] | None = None,
        *,
        algorithm: str = "RS256",
        headers: Mapping[str, object] | None = None,
    ) -> Fault:
        """The true reply with its id_token altered and signed again; a claim given as ``None`` is left out."""

        def alter(reply: dict[str, Any]) -> dict[str, Any]:
            true = jwt.decode(reply["id_token"], options={"verify_signature": False})
            altered = {name: value for name, value in {**true, **(claims or {})}.items() if value is not None}
            signed = self._application.keys.sign(altered, algorithm=algorithm, headers=headers)
            return {**reply, "id_token": signed}

        return Fault.mutate(alter, name="id_token")
