"""One deadline for a whole HTTP call.

requests and urllib3 limit each read apart, so a server that sends a byte now and then holds a caller for
ever. Here every read of a reply is given what remains until the deadline of the thread that reads.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from mail_oauth.exceptions import ConfigurationError
from mail_oauth.transport.addresses import is_private_host_allowed, is_public_address

_deadline: ContextVar[float] = ContextVar("mail_oauth_deadline")


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """End every read within the block once `seconds` have passed."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


class _DeadlineReader(io.RawIOBase):
    """The raw stream of a socket, each read of which may last until the deadline at the most."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        self._read_timeout = sock.gettimeout() or float("inf")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        remaining = _deadline.get(float("inf")) - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("The total deadline of the call has passed.")
        limit = min(remaining, self._read_timeout)
        self._sock.settimeout(None if limit == float("inf") else limit)
        return cast("int | None", cast(Any, self._raw).readinto(buffer))

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        raw = self.fp.detach()
        self.fp = io.BufferedReader(_DeadlineReader(raw, sock))


class _PublicPeer:
    """A connection that is given up before a byte is sent when it leads to a private address.

    The name was checked before; this closes the gap of a public name with a private address.
    """

    def _new_conn(self) -> socket.socket:
        sock: socket.socket = super()._new_conn()  # type: ignore[misc]
        connection = cast(HTTPConnection, self)
        peer = sock.getpeername()[0]
        if (
            connection.proxy is None
            and not is_private_host_allowed(connection.host)
            and not is_public_address(peer)
        ):
            sock.close()
            raise ConfigurationError(
                f'{connection.host} leads to a private address: add it to MAIL_OAUTH["PRIVATE_HOSTS"] if it is yours.'
            )
        return sock


class _OneWrite:
    """A connection that sends the head of a request together with its body: one TLS record instead of two."""

    _head: bytes | None = None

    def request(self, method: str, url: str, body: Any = None, *args: Any, **kwargs: Any) -> None:
        self._head = b"" if body and isinstance(body, (bytes, str)) else None
        super().request(method, url, body, *args, **kwargs)  # type: ignore[misc]

    def send(self, data: Any) -> None:
        if self._head == b"":
            self._head = data
            return
        if self._head:
            data, self._head = self._head + data, None
        super().send(data)  # type: ignore[misc]


class _Unheard:
    """A connection that prints nothing: `HTTPConnection.debuglevel = 1`, a common trick, sends bodies to stdout."""

    @property
    def debuglevel(self) -> int:
        return 0

    @debuglevel.setter
    def debuglevel(self, level: int) -> None:
        """Stay silent."""


class _HTTPConnection(_Unheard, _PublicPeer, _OneWrite, HTTPConnection):
    response_class = _Response


class _HTTPSConnection(_Unheard, _PublicPeer, _OneWrite, HTTPSConnection):
    response_class = _Response


class DeadlineHTTPPool(HTTPConnectionPool):
    """A pool of plain connections that keep the deadline."""

    ConnectionCls = _HTTPConnection


class DeadlineHTTPSPool(HTTPSConnectionPool):
    """A pool of TLS connections that keep the deadline."""

    ConnectionCls = _HTTPSConnection
