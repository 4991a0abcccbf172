"""Signed-in sessions: a token, a connection, one forced refresh where the token is refused, and who must act if not."""

from __future__ import annotations

import ssl
from types import TracebackType
from typing import Generic, NoReturn, Protocol

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import (
    ConfigurationError,
    MailServerUnavailable,
    ProviderUnavailable,
    SignInRefused,
    TransportError,
)
from mail_oauth.mailbox.lines import Line
from mail_oauth.mailbox.refusals import Fault, Refusal, Refused
from mail_oauth.mailbox.sasl import chosen_mechanism
from mail_oauth.mailbox.wires import BROKEN, C, Wire
from mail_oauth.providers import Provider, provider_for
from mail_oauth.tokens import AccessToken, MailServer, Secret
from mail_oauth.transport import deadline


class Grant(Protocol):
    """What a session needs of a mailbox; `MailCredentials` is one."""

    provider: str
    email: str

    @property
    def scopes(self) -> tuple[str, ...]:
        """What the provider granted."""

    def get_access_token(self) -> AccessToken:
        """Return a valid token."""

    def report_rejected(self, access_token: Secret) -> AccessToken:
        """Return another token than one that a mail server refused."""


class Session(Generic[C]):
    """A way to a signed-in client, by `with` or by `open`; each time anew, with a token that is valid then.

    A long-lived task enters again after a lost connection. Raises a `MailboxError`: `SignInRefused`,
    `MailServerUnavailable`, or what `get_access_token` raises.
    """

    def __init__(self, wire: Wire[C], grant: Grant, *, user: str = "", timeout: float | None = None) -> None:
        """Mean the mailbox `user` (the grant's own address unless told), reached with the token of `grant`.

        A signed-in server may be silent for `timeout` seconds within one answer (`MAIL_TIMEOUT` unless told).
        """
        self._wire, self._grant = wire, grant
        self.user = user or grant.email
        self.timeout = app_settings().mail_timeout if timeout is None else timeout
        self._clients: list[C] = []

    def __enter__(self) -> C:
        client = self.open()
        self._clients.append(client)
        return client

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        client = self._clients.pop()
        if kind is None:
            self._wire.leave(client)
        else:
            self._wire.drop(client)

    def open(self) -> C:
        """Return a signed-in client, whose goodbye is the caller's."""
        token = self._grant.get_access_token()
        try:
            return self._signed_in(token)
        except Refused as refused:
            if refused.refusal.fault is not Fault.TOKEN:
                self._refuse(refused.refusal)
            first = refused.refusal
        try:
            return self._signed_in(self._grant.report_rejected(token))
        except Refused as refused:
            self._refuse(refused.refusal)
        except ProviderUnavailable as error:
            if error.reason != "token_rejected":
                raise
            self._refuse(first, error)  # a refresh for that reason brought no remedy a moment ago

    @property
    def server(self) -> MailServer:
        """Where the provider's mail is. Raises `ConfigurationError` where nobody says."""
        server = self._provider.setting(self._wire.name)
        if isinstance(server, MailServer):
            return server
        raise ConfigurationError(
            f'MAIL_OAUTH["PROVIDERS"]["{self._grant.provider}"]["{self._wire.name}"] names no server: write '
            'MailServer(host="…", port=…), of mail_oauth.tokens.'
        )

    @property
    def _provider(self) -> Provider:
        return provider_for(self._grant.provider)

    def _signed_in(self, token: AccessToken) -> C:
        """Connect and show the token, all of it within `TOTAL_TIMEOUT`. Raises `Refused`."""
        settings = app_settings()
        server = self.server
        line = Line(server, seconds=settings.read_timeout)
        try:
            with deadline(settings.total_timeout):
                client = self._wire.connect(line)
                try:
                    mechanism = self._mechanism(client)
                    self._wire.sign_in(client, mechanism, self.user, token, line)
                    client.sock.settimeout(self.timeout)
                except BaseException:
                    line.close()
                    self._wire.drop(client)
                    raise
        except (TransportError, *BROKEN) as error:
            raise self._unreachable(server, error) from None
        return client

    def _mechanism(self, client: C) -> str:
        offered = self._wire.mechanisms(client)
        mechanism = chosen_mechanism(self._provider.sasl_mechanisms, offered)
        if not mechanism:
            raise Refused(Refusal(Fault.NO_MECHANISM))
        return mechanism

    def _unreachable(self, server: MailServer, error: Exception) -> MailServerUnavailable:
        cause = (
            error.cause
            if isinstance(error, TransportError)
            else "timeout"
            if isinstance(error, TimeoutError)
            else "tls"
            if isinstance(error, ssl.SSLError)
            else "connection"
        )
        return MailServerUnavailable(
            f"{server.host} cannot be reached by {self._wire.name} ({cause}); the grant is as good as before.",
            reason=cause,
            protocol=self._wire.name,
            host=server.host,
        )

    def _refuse(self, refusal: Refusal, cause: Exception | None = None) -> NoReturn:
        raise NotImplementedError
