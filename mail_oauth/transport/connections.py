"""Connections that carry one request and its whole reply: within a deadline and a cap, to public addresses alone.

urllib3 pools them, makes them (names, proxies, TLS) and tells what went wrong with them. What travels over them is
one write, and a reply that llhttp reads, the parser of Node.js: over http.client, and with what urllib3 does to
replies, a call costs nearly twice the CPU.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import Any

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool
from urllib3.connection import HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, DecodeError, HTTPError, InvalidHeader, ProtocolError

from mail_oauth.transport.deadlines import seconds_left
from mail_oauth.transport.peers import PublicPeer

MAX_BODY = 1024 * 1024
"""The longest body that is read from a provider, in bytes after decompression."""

_MAX_HEAD = 64 * 1024
_MAX_REPLY = MAX_BODY + _MAX_HEAD  # with what frames its chunks
_TLS_RECORD = 16 * 1024  # no read gets more than one
_AT_ONCE = 64 * 1024  # more is a message: a peer that takes it slowly meets the deadline between two parts


class BadReply(HTTPError):
    """A reply that began and is of no use; `cause` is a code of `TransportError`."""

    def __init__(self, cause: str, message: str) -> None:
        """Say why."""
        super().__init__(message)
        self.cause = cause


class _Reply:
    """What has come of a reply. The parser calls the methods `on_…`, which httptools names."""

    def __init__(self) -> None:
        self.status = 0  # until the head is there
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.complete = False
        self.reusable = False
        self._parser: Any = HttpResponseParser(self)
        # As aiohttp reads replies: one that is not quite to the letter may hold the one copy of a new token.
        self._parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )

    def feed(self, data: bytes) -> None:
        """Take what was read. Raises urllib3's `HTTPError` if that makes no reply."""
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            if not self.complete:
                raise self.broken_off() from None
            self.reusable = False  # what came after the reply would be taken for the next one

    def end(self) -> None:
        """Take the end of the connection, up to which a body without a length lasts (RFC 9112 §6.3)."""
        if not self.status or self.headers.keys() & {"content-length", "transfer-encoding"}:
            raise self.broken_off()
        self.complete = True

    def broken_off(self) -> HTTPError:
        """Return what to raise when no more can be read."""
        if self.status:
            return BadReply("body_lost", "The reply broke off.")
        return ProtocolError("There was no reply.")

    def close(self) -> None:
        """Let go of the parser: it holds this object's methods."""
        self._parser = None

    def on_message_begin(self) -> None:
        """Refuse a second reply on the heels of the first."""
        if self.complete:
            raise HttpParserError("More than one reply came.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; several of one name are joined (RFC 9110 §5.3)."""
        if not self.status:  # and not a trailer
            key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip()
            self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        """Take the status."""
        status = self._parser.get_status_code()
        if status < 200:  # RFC 9110 §15.2: the reply proper follows
            self.headers.clear()
        else:
            self.status = status

    def on_body(self, data: bytes) -> None:
        """Take a part of the body."""
        self.body += data

    def on_message_complete(self) -> None:
        """Note that the reply is whole, and whether another one may follow on the connection."""
        if self.status:
            self.complete, self.reusable = True, self._parser.should_keep_alive()


class _Plain(PublicPeer):
    """A connection that is not encrypted."""

    debuglevel = 0  # `HTTPConnection.debuglevel = 1`, a common trick, would print bodies and the proxy's password

    def request(  # type: ignore[override]
        self, method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None, **_: Any
    ) -> None:
        """Send head and body in one write, which makes one TLS record, unless connecting took too long."""
        if self.sock is None:
            self.connect()
        try:
            seconds_left()
        except TimeoutError as error:
            raise ConnectTimeoutError(self, str(error)) from None
        lines = [f"{method} {url} HTTP/1.1", *(f"{name}: {value}" for name, value in (headers or {}).items())]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join([*lines, "", ""])
        # A value that ended its line would begin a header of its own.
        if not head.isascii() or not head.count("\r") == head.count("\n") == len(lines) + 1:
            raise InvalidHeader("A header of the request holds what none may.")
        data = head.encode() + (body or b"")
        for start in range(0, len(data), _AT_ONCE):
            self.sock.settimeout(min(seconds_left(), self.timeout or math.inf))
            self.send(data[start : start + _AT_ONCE])

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        """Read the whole reply, decompressed. Raises `BadReply`, or what urllib3's pools know."""
        reply, received = _Reply(), 0
        try:
            while not reply.complete:
                data = self._receive()
                received += len(data)
                if received > (_MAX_REPLY if reply.status else _MAX_HEAD):
                    raise BadReply("too_large", "The reply is too large.")
                reply.feed(data) if data else reply.end()
        except OSError as error:
            if isinstance(error, TimeoutError) or not reply.status:
                raise
            raise reply.broken_off() from None
        finally:
            reply.close()
        if not reply.reusable:
            self.close()
        body = _decompressed(bytes(reply.body), reply.headers.get("content-encoding", ""))
        return HTTPResponse(body, headers=reply.headers, status=reply.status, preload_content=False)

    def _receive(self) -> bytes:
        self.sock.settimeout(min(seconds_left(), self.timeout or math.inf))
        return self.sock.recv(_TLS_RECORD)


class _TLS(_Plain, HTTPSConnection):
    """A connection that is encrypted."""


def _decompressed(body: bytes, encoding: str) -> bytes:
    if encoding:
        packed = HTTPResponse(io.BytesIO(body), headers={"content-encoding": encoding}, preload_content=False)
        try:
            body = packed.read(MAX_BODY + 1)
        except DecodeError:
            raise BadReply("bad_encoding", "The reply cannot be decompressed.") from None
    if len(body) > MAX_BODY:
        raise BadReply("too_large", "The reply is too large.")
    return body


class PlainPool(HTTPConnectionPool):
    """A pool of connections that are not encrypted."""

    ConnectionCls = _Plain


class TLSPool(HTTPSConnectionPool):
    """A pool of connections that are encrypted."""

    ConnectionCls = _TLS
