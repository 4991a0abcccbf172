"""Signed-in sessions: a token, a connection, one forced refresh where the token is refused, and who must act if not."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Generic

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import (
    ConfigurationError,
    MailServerError,
    MailServerUnavailable,
    ProviderUnavailable,
    SignInRefused,
    TransportError,
)
from mail_oauth.mailbox.grants import Grant
from mail_oauth.mailbox.lines import Line, secured
from mail_oauth.mailbox.refusals import Fault, Refusal, Refused, smtp_refusal
from mail_oauth.mailbox.sasl import chosen_mechanism, field
from mail_oauth.mailbox.stages import Stage, Watch, unwatched
from mail_oauth.mailbox.wires import BROKEN, C, Wire
from mail_oauth.metrics import SIGN_INS
from mail_oauth.providers import Provider, provider_for
from mail_oauth.tokens import AccessToken, MailServer
from mail_oauth.transport import deadline

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise


_NOT_SIGNED_IN = _("{host} does not sign {user} in by {protocol}")
_UNREACHABLE = _(
    "{host} cannot be reached by {protocol} ({cause}): look whether it is up. The grant is as good as before."
)

_ADVICE = {
    Fault.TOKEN: _(
        "although the token is new. Look whether the mailbox exists by that name, and whether {protocol} is switched on "
        "for it."
    ),
    Fault.SCOPE: _('the grant lacks {scope}. Add it to "SCOPES", then its user must connect the mailbox again.'),
    Fault.MAILBOX: _(
        "whoever connected it has no access to {user}. The mailbox's owner or an administrator must give it."
    ),
    Fault.SWITCHED_OFF: _(
        "{protocol} is switched off. An administrator of the organisation must switch it on for the mailbox, or its user "
        "in the account's settings."
    ),
    Fault.NO_MECHANISM: _(
        "it offers no way to show a token. Look whether host, port and security of the server are right."
    ),
    Fault.UNAVAILABLE: _("it cannot tell now. Try again later."),
}


_ADVICE_WITHOUT_USER = {
    Fault.TOKEN: _(
        "although the token is new. Look whether the mailbox exists by that name, whether an administrator lets the app "
        "into it (at Microsoft `Add-MailboxPermission`), and whether {protocol} is switched on for it."
    ),
    Fault.SCOPE: _("the app lacks {scope}. An administrator must give it to the app, and consent."),
    Fault.MAILBOX: _(
        "the app is not let into {user}. An administrator must permit it (at Microsoft `Add-MailboxPermission`)."
    ),
}
"""Where no user has connected the mailbox."""


class Session(Generic[C]):
    """A way to a signed-in client, by `with` or by `open`; each time anew, with a token that is valid then.

    A long-lived task enters again after a lost connection. Raises a `MailboxError`: `SignInRefused`,
    `MailServerUnavailable`, or what `get_access_token` raises; and `ValueError` for a user name that can be none.
    """

    def __init__(
        self,
        wire: Wire[C],
        grant: Grant,
        *,
        user: str = "",
        timeout: float | None = None,
        watch: Watch = unwatched,
    ) -> None:
        """Mean the mailbox `user` (the grant's own address unless told), reached with the token of `grant`.

        A signed-in server may be silent for `timeout` seconds within one answer (`MAIL_TIMEOUT` unless told). `watch`
        hears of each stage that begins.
        """
        self._wire, self._grant = wire, grant
        self.user = user or grant.email
        self.timeout = app_settings().mail_timeout if timeout is None else timeout
        self._watch = watch
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
        outcome = "no_token"
        try:
            client = self._opened()
            outcome = "ok"
        except MailServerError as error:
            outcome = error.reason
            raise
        finally:
            SIGN_INS.add(provider=self._grant.provider, protocol=self._wire.name, outcome=outcome)
        return client

    def _opened(self) -> C:
        field("user name", self.user)  # nobody is asked about one that cannot be shown
        token = self._grant.get_access_token()
        try:
            return self._signed_in(token)
        except Refused as refused:
            first = refused.refusal
        if first.fault is not Fault.TOKEN:
            raise self.error_for(first)
        try:
            return self._signed_in(self._grant.report_rejected(token))
        except Refused as refused:
            raise self.error_for(refused.refusal) from None
        except ProviderUnavailable as error:
            if error.reason != "token_rejected":
                raise
            raise self.error_for(first) from None  # a moment ago another new token was no remedy

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

    @contextmanager
    def in_time(self) -> Iterator[None]:
        """Bound a talk with the server to `TOTAL_TIMEOUT`. Raises `MailServerUnavailable` where the line breaks in it."""
        try:
            with deadline(app_settings().total_timeout):
                yield
        except (TransportError, *BROKEN) as error:
            raise self._unreachable(error) from None

    def _signed_in(self, token: AccessToken) -> C:
        """Connect and show the token, all of it in time. Raises `Refused`."""
        line = Line(self.server, seconds=app_settings().read_timeout, watch=self._watch)
        with self.in_time():
            client = self._wire.connect(line)
            try:
                self._watch(Stage.SIGN_IN)
                mechanism = self._mechanism(client)
                self._wire.sign_in(client, mechanism, self.user, token, line)
                secured(client.sock).settimeout(self.timeout)
            except BaseException:
                self._wire.drop(client)
                raise
        return client

    def _mechanism(self, client: C) -> str:
        offered = self._wire.mechanisms(client)
        mechanism = chosen_mechanism(self._provider.sasl_mechanisms, offered)
        if not mechanism:
            raise Refused(Refusal(Fault.NO_MECHANISM))
        return mechanism

    def _unreachable(self, error: Exception) -> MailServerError:
        if (
            isinstance(error, smtplib.SMTPResponseException) and 400 <= error.smtp_code < 500
        ):  # RFC 5321 §4.2.1: for now
            told = error.smtp_error
            return self.error_for(
                smtp_refusal(error.smtp_code, told if isinstance(told, str) else told.decode("latin-1"))
            )
        host = self.server.host
        cause = error.cause if isinstance(error, TransportError) else _cause(error)
        return MailServerUnavailable(
            format_lazy(_UNREACHABLE, host=host, protocol=self._wire.name, cause=cause),
            reason=cause,
            protocol=self._wire.name,
            host=host,
        )

    def error_for(self, refusal: Refusal, did: _StrOrPromise = _NOT_SIGNED_IN) -> MailServerError:
        """Return the error for a refusal that no new token mends: what the server `did`, and who must act."""
        fault, host, name = refusal.fault, self.server.host, self._wire.name
        lacking = self._provider.lacking_scope(name, self._grant.scopes) if fault is Fault.TOKEN else ""
        if lacking:
            fault = Fault.SCOPE
        advices = {**_ADVICE, **_ADVICE_WITHOUT_USER} if self._provider.is_app_only else _ADVICE
        scope = lacking or _("the scope for it")
        words = format_lazy(
            _("{told} ({code}): {advice}") if refusal.code else _("{told}: {advice}"),
            told=format_lazy(did, host=host, user=self.user, protocol=name),
            code=refusal.code,
            advice=format_lazy(advices[fault], protocol=name, scope=scope, user=self.user),
        )
        kind = MailServerUnavailable if fault is Fault.UNAVAILABLE else SignInRefused
        return kind(words, reason=fault.value, protocol=name, host=host, code=refusal.code)


def _cause(error: BaseException) -> str:
    """Say what broke a connection; smtplib tells of all that happens to its socket as a disconnection."""
    for each in (error, error.__context__):
        if isinstance(each, TimeoutError):
            return "timeout"
        if isinstance(each, ssl.SSLError):
            return "tls"
    return "tls" if _is_about_tls(error) else "connection"


def _is_about_tls(error: BaseException) -> bool:
    """Tell whether a client found no STARTTLS where there must be one; each library says it in words of its own."""
    return isinstance(error, smtplib.SMTPNotSupportedError) or "not supported by server" in str(error)
