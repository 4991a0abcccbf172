"""One deadline for a whole HTTP call.

requests and urllib3 limit each read apart, so a server that sends a byte now and then holds a caller for
ever. Here every read of a reply is given what remains until the deadline of the thread that reads.
"""

from __future__ import annotations

import http.client
import io
import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, cast

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from mail_oauth.transport.addresses import is_private_host_allowed
from mail_oauth.transport.peers import public_addresses

_deadline: ContextVar[float] = ContextVar("mail_oauth_deadline")


# urllib3 writes headers that it cannot read into the log, with a traceback whose frames hold the reply: not ours.
logging.getLogger("urllib3.connection").addFilter(lambda _record: _deadline.get(None) is None)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """End every read within the block once `seconds` have passed."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def seconds_left() -> float:
    """Return how long the call may still take; infinite without a deadline. Raises `TimeoutError` after it."""
    remaining = _deadline.get(float("inf")) - time.monotonic()
    if remaining <= 0:
        raise TimeoutError("The total deadline of the call has passed.")
    return remaining


class _DeadlineReader(io.RawIOBase):
    """The raw stream of a socket, each read of which may last until the deadline at the most."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        self._read_timeout = sock.gettimeout() or float("inf")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        limit = min(seconds_left(), self._read_timeout)
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
    """A connection to the addresses that were checked; private ones only of hosts that the operator listed.

    Through a proxy it leads to the proxy, which looks the name up itself: what lies behind it is the proxy's to
    allow.
    """

    def _new_conn(self) -> socket.socket:
        connection = cast(HTTPConnection, self)
        if connection.proxy is not None or is_private_host_allowed(connection.host):
            return self._connect()
        name = connection._dns_host
        try:
            addresses = public_addresses(name, connection.port)
        except socket.gaierror as error:
            raise NameResolutionError(connection.host, connection, error) from error
        try:
            return self._first_that_answers(addresses)
        finally:
            connection._dns_host = name  # by which its certificate is checked

    def _first_that_answers(self, addresses: list[str]) -> socket.socket:
        connection = cast(HTTPConnection, self)
        for address in addresses[:-1]:
            connection._dns_host = address
            with suppress(ConnectTimeoutError, NewConnectionError):
                return self._connect()
        connection._dns_host = addresses[-1]
        return self._connect()

    def _connect(self) -> socket.socket:
        """Connect within `CONNECT_TIMEOUT`, and within what remains of the call."""
        connection = cast(HTTPConnection, self)
        allowed = connection.timeout
        try:
            if isinstance(allowed, (int, float)):
                connection.timeout = min(allowed, seconds_left())
            sock: socket.socket = super()._new_conn()  # type: ignore[misc]
        except TimeoutError as error:
            raise ConnectTimeoutError(connection, str(error)) from error
        finally:
            connection.timeout = allowed
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


class _HTTPConnection(_PublicPeer, _OneWrite, HTTPConnection):
    response_class = _Response


class _HTTPSConnection(_PublicPeer, _OneWrite, HTTPSConnection):
    response_class = _Response


class DeadlineHTTPPool(HTTPConnectionPool):
    """A pool of plain connections that keep the deadline."""

    ConnectionCls = _HTTPConnection


class DeadlineHTTPSPool(HTTPSConnectionPool):
    """A pool of TLS connections that keep the deadline."""

    ConnectionCls = _HTTPSConnection
