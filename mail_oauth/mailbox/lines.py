"""The connection to a mail host: TLS always, within deadlines, to public addresses or hosts that the operator listed.

Mail goes directly, never through the proxy of HTTP calls.
"""

from __future__ import annotations

import socket
import ssl

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import TransportError
from mail_oauth.mailbox.stages import Stage, Watch, unwatched
from mail_oauth.tokens import MailServer
from mail_oauth.transport import mail_context, open_socket, wrap_socket


class Line:
    """The connection to one host, which is closed at the end whatever becomes of its client."""

    def __init__(self, server: MailServer, *, seconds: float, watch: Watch = unwatched) -> None:
        """Mean a host, which may be silent for so many seconds within one answer."""
        self.server = server
        self.seconds = seconds
        self.context = mail_context()
        self.starttls = server.security == "starttls"
        self._watch = watch
        self._sock: socket.socket | None = None

    def connect(self) -> socket.socket:
        """Connect, with TLS from the first byte unless the host wants STARTTLS. Raises `TransportError`."""
        host = self.server.host
        self._watch(Stage.CONNECT)
        sock = open_socket(host, self.server.port, seconds=app_settings().connect_timeout)
        self._watch(Stage.TLS)
        self._sock = sock if self.starttls else wrap_socket(sock, host, self.context)
        self._sock.settimeout(self.seconds)
        return self._sock

    def close(self) -> None:
        """Hang up."""
        if self._sock is not None:
            self._sock.close()


def secured(sock: socket.socket | None) -> ssl.SSLSocket:
    """Return the socket of a client that TLS protects. Raises `TransportError` for any other."""
    if not isinstance(sock, ssl.SSLSocket):
        raise TransportError("The connection is in clear.", cause="tls")
    return sock
