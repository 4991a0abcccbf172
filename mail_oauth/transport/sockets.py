"""A plain TCP connection to a host that the settings name, under the rules of HTTP calls: public, or listed."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress

from mail_oauth.exceptions import TransportError
from mail_oauth.transport.addresses import is_private_host_allowed
from mail_oauth.transport.peers import public_addresses


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
            return socket.create_connection((address, port), timeout=seconds)
    return socket.create_connection((addresses[-1], port), timeout=seconds)


def wrap_socket(sock: socket.socket, host: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Begin TLS as the client of `host`. Raises `TransportError`, whose cause is what is wrong with a certificate."""
    try:
        return context.wrap_socket(sock, server_hostname=host)
    except (ssl.SSLError, OSError) as error:
        sock.close()
        reason = getattr(error, "verify_message", "") or ("timeout" if isinstance(error, TimeoutError) else "tls")
        raise TransportError(f"No TLS with {host}: {reason}.", cause="tls") from None
