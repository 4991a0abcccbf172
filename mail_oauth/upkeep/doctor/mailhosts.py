"""Live looks at mail hosts: a connection, TLS, the greeting, and whether tokens are taken there. Nobody signs in.

Mail goes directly, never through the proxy of HTTP calls; private addresses are refused like theirs.
"""

from __future__ import annotations

import contextlib
import imaplib
import poplib
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError, TransportError
from mail_oauth.providers import Provider
from mail_oauth.tokens import MailServer
from mail_oauth.transport import open_socket, trusting_context, wrap_socket
from mail_oauth.upkeep.doctor.certificates import days_left, judge_days
from mail_oauth.upkeep.doctor.findings import Outcome, doubtful, wrong
from mail_oauth.upkeep.doctor.hints import HINTS, of_fault
from mail_oauth.upkeep.doctor.rounds import Probe, Round

GREETING_SECONDS = 10.0
"""How long a host may be silent within one answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A mail host, and the mechanisms by which tokens may be shown there."""

    server: MailServer
    mechanisms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a host offered, once TLS was up: its SASL mechanisms, and the days of its certificate."""

    offered: frozenset[str]
    days: float


class _Line:
    """The connection to one host, which is closed at the end whatever becomes of its client."""

    def __init__(self, server: MailServer) -> None:
        self.server = server
        self.context = trusting_context()
        self.starttls = server.security == "starttls"
        self._sock: socket.socket | None = None

    def connect(self) -> socket.socket:
        """Connect, with TLS from the first byte unless the host wants STARTTLS."""
        host = self.server.host
        sock = open_socket(host, self.server.port, seconds=app_settings().connect_timeout)
        sock.settimeout(GREETING_SECONDS)
        self._sock = sock if self.starttls else wrap_socket(sock, host, self.context)
        return self._sock

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._sock is not None:
            self._sock.close()


def _imap(line: _Line) -> Seen:
    class Client(imaplib.IMAP4):
        def _create_socket(self, timeout: float | None) -> socket.socket:
            return line.connect()

    client = Client(line.server.host, line.server.port)
    with contextlib.closing(_Leaving(client.logout)):
        if line.starttls:
            client.starttls(line.context)
        words = {str(word).upper() for word in client.capabilities}
        return Seen(_after("AUTH=", words), days_left(_secured(client.sock)))


def _pop(line: _Line) -> Seen:
    class Client(poplib.POP3):
        def _create_socket(self, timeout: float | None) -> socket.socket:
            return line.connect()

    client = Client(line.server.host, line.server.port)
    with contextlib.closing(_Leaving(client.quit)):
        if line.starttls:
            client.stls(line.context)
        sasl = client.capa().get("SASL", [])
        return Seen(frozenset(word.upper() for word in sasl), days_left(_secured(client.sock)))


def _smtp(line: _Line) -> Seen:
    class Client(smtplib.SMTP):
        def _get_socket(self, host: str, port: int, timeout: float | None) -> socket.socket:
            return line.connect()

    client = Client(line.server.host, line.server.port)
    with contextlib.closing(_Leaving(client.quit)):
        client.ehlo_or_helo_if_needed()
        if line.starttls:
            client.starttls(context=line.context)
            client.ehlo()
        words = client.esmtp_features.get("auth", "").upper().split()
        return Seen(frozenset(words), days_left(_secured(client.sock)))


class _Leaving:
    """Says goodbye, and does not mind if nobody hears it."""

    def __init__(self, goodbye: Callable[[], object]) -> None:
        self._goodbye = goodbye

    def close(self) -> None:
        """Say it."""
        with contextlib.suppress(OSError, imaplib.IMAP4.error, poplib.error_proto, smtplib.SMTPException):
            self._goodbye()


def _secured(sock: Any) -> ssl.SSLSocket:
    if not isinstance(sock, ssl.SSLSocket):
        raise TransportError("The connection is in clear.", cause="tls")
    return sock


def _after(prefix: str, words: Iterable[str]) -> frozenset[str]:
    return frozenset(word.removeprefix(prefix) for word in words if word.startswith(prefix))


def _looking(ask: Callable[[_Line], Seen]) -> Callable[[Case], Iterator[Outcome]]:
    """Make a look of a protocol's exchange."""

    def look(case: Case) -> Iterator[Outcome]:
        try:
            with contextlib.closing(_Line(case.server)) as line:
                seen = ask(line)
        except (TransportError, ConfigurationError) as error:
            yield of_fault(error)
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or "tls"
            yield wrong(f"No TLS: {reason}.", HINTS["tls"])
        except (OSError, imaplib.IMAP4.error, poplib.error_proto, smtplib.SMTPException) as error:
            yield wrong(
                f"It did not greet as it should ({type(error).__name__}).",
                "Check host, port and security of the server; see whether a firewall answers in its place.",
            )
        else:
            yield _judged(case, seen)

    return look


def _judged(case: Case, seen: Seen) -> Outcome:
    ours = [name for name in case.mechanisms if name in seen.offered]
    if not ours:
        offered = ", ".join(sorted(seen.offered)) or "none"
        return doubtful(
            f"It takes no token: of its mechanisms ({offered[:120]}) none is {' or '.join(case.mechanisms)}.",
            "See whether it wants another port; at Microsoft, whether IMAP, POP or SMTP AUTH is switched on.",
        )
    return judge_days(seen.days, f"It takes tokens by {' and '.join(ours)};")


def mail_rounds(providers: Iterable[Provider]) -> list[Round]:
    """Return a round for each mail host of these providers, each host once."""
    cases: dict[tuple[str, str, int], Case] = {}
    for provider in providers:
        for name in BY_PROTOCOL:
            server = provider.setting(name)
            if isinstance(server, MailServer):
                place = (name, server.host, server.port)
                case = cases.setdefault(place, Case(server=server, mechanisms=()))
                every = dict.fromkeys((*case.mechanisms, *provider.sasl_mechanisms))
                cases[place] = replace(case, mechanisms=tuple(every))
    return [Round(f"{host}:{port}", (BY_PROTOCOL[name],), case) for (name, host, port), case in cases.items()]


_WHAT = "connection, TLS, greeting and mechanisms of the {name} host"

BY_PROTOCOL = {
    "IMAP": Probe(id="mail.imap", what=_WHAT.format(name="IMAP"), look=_looking(_imap)),
    "POP": Probe(id="mail.pop", what=_WHAT.format(name="POP"), look=_looking(_pop)),
    "SMTP": Probe(id="mail.smtp", what=_WHAT.format(name="SMTP"), look=_looking(_smtp)),
}
PROBES = tuple(BY_PROTOCOL.values())
