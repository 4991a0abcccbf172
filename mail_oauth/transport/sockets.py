"""Connections other than HTTP's, to hosts that the settings name, under the same rules: public, or listed.

Within `deadline`, nothing waits beyond its end.
"""

from __future__ import annotations

import math
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

from mail_oauth.exceptions import TransportError
from mail_oauth.transport.addresses import is_private_host_allowed
from mail_oauth.transport.deadlines import seconds_left
from mail_oauth.transport.peers import public_addresses
from mail_oauth.transport.pool import certificates, context_trusting


@contextmanager
def _within(sock: socket.socket) -> Iterator[None]:
    """Shorten a socket's own patience to what is left of the deadline."""
    left, allowed = seconds_left(), sock.gettimeout()
    if left == math.inf:
        yield
        return
    sock.settimeout(left if allowed is None else min(left, allowed))
    try:
        yield
    finally:
        if sock.fileno() >= 0:
            sock.settimeout(allowed)


class _Bounded(socket.socket):
    """A connection whose reads and writes end with the deadline, however often each of them gets a byte."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        with _within(self):
            return super().recv_into(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        with _within(self):
            super().sendall(*args, **kwargs)


class _BoundedTLS(ssl.SSLSocket):
    """The same under TLS."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        with _within(self):
            return super().recv_into(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        with _within(self):
            super().sendall(*args, **kwargs)

    def do_handshake(self, *args: Any, **kwargs: Any) -> None:
        with _within(self):
            super().do_handshake(*args, **kwargs)


def mail_context() -> ssl.SSLContext:
    """Return a TLS context that trusts whom the settings trust, and whose connections end with the deadline."""
    return _mail_context(certificates())


@lru_cache(maxsize=4)
def _mail_context(bundle: str) -> ssl.SSLContext:
    context = context_trusting(bundle)
    context.sslsocket_class = _BoundedTLS
    return context


def open_socket(host: str, port: int, *, seconds: float) -> socket.socket:
    """Connect within `seconds` for each of the host's addresses; each read and write may take as long.

    Not through a proxy. Raises `TransportError`, and `ConfigurationError` for a private address that is not in
    `PRIVATE_HOSTS`, to which nothing is sent.
    """
    try:
        addresses = [host] if is_private_host_allowed(host) else public_addresses(host, port)
        return _first_that_answers(addresses, port, seconds)
    except TimeoutError:
        raise TransportError(f"{host} did not answer (connect_timeout).", cause="connect_timeout") from None
    except (socket.gaierror, UnicodeError):  # the latter for a label of more than 63 characters, which no name has
        raise TransportError(f"{host} has no address (dns).", cause="dns") from None
    except OSError:
        raise TransportError(f"{host} refused the connection (refused).", cause="refused") from None


def _first_that_answers(addresses: list[str], port: int, seconds: float) -> socket.socket:
    for address in addresses[:-1]:
        with suppress(OSError):
            return _connected(address, port, seconds)
    return _connected(addresses[-1], port, seconds)


def _connected(address: str, port: int, seconds: float) -> socket.socket:
    made = socket.create_connection((address, port), timeout=min(seconds, seconds_left()))
    sock = _Bounded(made.family, made.type, made.proto, fileno=made.detach())
    sock.settimeout(seconds)
    return sock


def wrap_socket(sock: socket.socket, host: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Begin TLS as the client of `host`. Raises `TransportError`, whose cause is what is wrong with a certificate."""
    try:
        return context.wrap_socket(sock, server_hostname=host)
    except (ssl.SSLError, OSError) as error:
        sock.close()
        cause = "timeout" if isinstance(error, TimeoutError) else "tls"
        raise TransportError(
            f"No TLS with {host}: {getattr(error, 'verify_message', '') or cause}.", cause=cause
        ) from None
