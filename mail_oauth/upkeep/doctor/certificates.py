"""How long certificates of endpoints and mail hosts are still valid, by a TLS handshake of our own."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError, TransportError
from mail_oauth.providers import Provider
from mail_oauth.transport import is_proxied, open_socket, trusting_context, wrap_socket
from mail_oauth.upkeep.doctor.findings import Outcome, doubtful, fine, unknown
from mail_oauth.upkeep.doctor.hints import of_fault
from mail_oauth.upkeep.doctor.rounds import Probe

DAYS_NOTED = 14
"""A certificate that is valid for fewer days should have been renewed: authorities' own tools do so at 30."""


def days_left(sock: ssl.SSLSocket) -> float:
    """Return for how many days the certificate of the peer is valid; it was verified."""
    certificate = sock.getpeercert() or {}
    ends = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    return (ends - time.time()) / 86400


def judge_days(days: float, what: str) -> Outcome:
    """Say whether that is enough; `what` is said before."""
    told = f"{what} certificate valid for {days:.0f} days."
    if days < DAYS_NOTED:
        return doubtful(told, "See that it is renewed; a provider's own status page may say more.")
    return fine(told)


def _certificate(provider: Provider) -> Iterator[Outcome]:
    try:
        url = str(provider.setting("TOKEN_URL") or "")
    except (TransportError, ConfigurationError):
        yield unknown("Where its endpoints are is not known: see provider.discovery.")
        return
    parts = urlsplit(url)
    if parts.scheme != "https":
        yield unknown("Reached by plain http, for development.")
    else:
        yield _seen(url, parts.hostname or "", parts.port or 443)


def _seen(url: str, host: str, port: int) -> Outcome:
    try:
        if is_proxied(url):
            return unknown("Reached through a proxy, behind which its certificate is verified, but not seen here.")
        context = trusting_context()  # first: where it cannot be made, there is no socket to close
        sock = open_socket(host, port, seconds=app_settings().connect_timeout)
        with wrap_socket(sock, host, context) as secured:
            return judge_days(days_left(secured), f"{host}: {secured.version()};")
    except (TransportError, ConfigurationError) as error:
        return of_fault(error)


PROBES = (
    Probe(
        id="provider.certificate",
        what=f"the certificate of the token endpoint: valid for fewer than {DAYS_NOTED} days",
        look=_certificate,
    ),
)
