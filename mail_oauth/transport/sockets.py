"""A plain TCP connection to a host that the settings name, under the rules of HTTP calls: public, or listed."""

from __future__ import annotations

import socket
import ssl

from mail_oauth.exceptions import ConfigurationError, TransportError
from mail_oauth.transport.addresses import is_private_host_allowed, is_public_address


def open_socket(host: str, port: int, *, seconds: float) -> socket.socket:
    """Connect within `seconds` for each of the host's addresses; each read and write may take as long.

    Not through a proxy. Raises `TransportError`, and `ConfigurationError` for a private address that is not in
    `PRIVATE_HOSTS`, to which nothing is sent.
    """
    try:
        sock = socket.create_connection((host, port), timeout=seconds)
    except TimeoutError:
        raise TransportError(f"{host} did not answer (connect_timeout).", cause="connect_timeout") from None
    except socket.gaierror:
        raise TransportError(f"{host} has no address (dns).", cause="dns") from None
    except OSError:
        raise TransportError(f"{host} refused the connection (refused).", cause="refused") from None
    if not is_private_host_allowed(host) and not is_public_address(sock.getpeername()[0]):
        sock.close()
        raise ConfigurationError(
            f'{host} leads to a private address: add it to MAIL_OAUTH["PRIVATE_HOSTS"] if it is yours.'
        )
    return sock


def wrap_socket(sock: socket.socket, host: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Begin TLS as the client of `host`. Raises `TransportError`, whose cause is what is wrong with a certificate."""
    try:
        return context.wrap_socket(sock, server_hostname=host)
    except (ssl.SSLError, OSError) as error:
        sock.close()
        reason = getattr(error, "verify_message", "") or ("timeout" if isinstance(error, TimeoutError) else "tls")
        raise TransportError(f"No TLS with {host}: {reason}.", cause="tls") from None
