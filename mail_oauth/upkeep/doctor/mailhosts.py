"""Live looks at mail hosts: a connection, TLS, the greeting, and whether tokens are taken there. Nobody signs in.

Mail goes directly, never through the proxy of HTTP calls; private addresses are refused like theirs.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError, TransportError
from mail_oauth.mailbox.lines import Line, secured
from mail_oauth.mailbox.wires import BROKEN, IMAP, POP, SMTP, Wire
from mail_oauth.providers import Provider
from mail_oauth.tokens import MailServer
from mail_oauth.transport import deadline
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


def _looking(wire: Wire[Any]) -> Callable[[Case], Iterator[Outcome]]:
    """Make a look of a protocol's exchange."""

    def look(case: Case) -> Iterator[Outcome]:
        try:
            seen = _seen(wire, case.server)
        except (TransportError, ConfigurationError) as error:
            yield of_fault(error)
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or "tls"
            yield wrong(f"No TLS: {reason}.", HINTS["tls"])
        except BROKEN as error:
            yield wrong(
                f"It did not greet as it should ({type(error).__name__}).",
                "Check host, port and security of the server; see whether a firewall answers in its place.",
            )
        else:
            yield _judged(case, seen)

    return look


def _seen(wire: Wire[Any], server: MailServer) -> Seen:
    """Connect and read what is offered. Raises `TransportError`, `ConfigurationError`, or one of `BROKEN`."""
    seconds = app_settings().total_timeout
    with deadline(seconds), contextlib.closing(Line(server, seconds=GREETING_SECONDS)) as line:
        client = wire.connect(line)
        seen = Seen(wire.mechanisms(client), days_left(secured(client.sock)))
        with contextlib.suppress(*BROKEN):
            wire.leave(client)
        return seen


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
    "IMAP": Probe(id="mail.imap", what=_WHAT.format(name="IMAP"), look=_looking(IMAP)),
    "POP": Probe(id="mail.pop", what=_WHAT.format(name="POP"), look=_looking(POP)),
    "SMTP": Probe(id="mail.smtp", what=_WHAT.format(name="SMTP"), look=_looking(SMTP)),
}
PROBES = tuple(BY_PROTOCOL.values())
