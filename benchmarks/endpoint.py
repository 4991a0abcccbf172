"""A fast token endpoint over TLS, in a process of its own, for measuring those who call it.

It hands every POST a new pair of tokens of realistic size (RFC 6749 §5.1) and looks at nothing in it. The first
part of the path is the latency in milliseconds: `/100/token` answers after 0.1 s, `/0/token` at once. Any GET but
`/stats` answers with the discovery document of the authority that its path names.

One thread on `selectors` over non-blocking TLS sockets: some 60 µs of CPU per call, so that its share of a
machine that also runs what is measured stays small. It is no web server: it expects one request at a time per
connection, and replies that fit a socket's buffer.

    python -m benchmarks.endpoint --certificate server.pem      prints its port; ends with its standard input
"""

from __future__ import annotations

import argparse
import heapq
import json
import re
import selectors
import socket
import ssl
import sys
import time

SCOPES = "openid profile email offline_access https://outlook.office.com/IMAP.AccessAsUser.All"
LIFETIME = 3600
ACCESS_TOKEN_LENGTH = 1800
REFRESH_TOKEN_LENGTH = 1000

FIRST_NUMBER = 10**12
"""The number of the first pair; those of the tokens that mailboxes begin with are smaller."""

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def token(kind: str, number: int, length: int) -> str:
    """A token of `length` characters which no other number has."""
    return f"{kind}.{number:020d}.".ljust(length, "x")


def _reply_parts() -> tuple[bytes, ...]:
    """The reply in three parts, between which the number of the pair stands (each time in 20 digits)."""
    body = json.dumps(
        {
            "token_type": "Bearer",
            "scope": SCOPES + " https://outlook.office.com/SMTP.Send",
            "expires_in": LIFETIME,
            "ext_expires_in": LIFETIME,
            "access_token": token("access", 0, ACCESS_TOKEN_LENGTH),
            "refresh_token": token("refresh", 0, REFRESH_TOKEN_LENGTH),
        }
    )
    head = _head(len(body), "Cache-Control: no-store\r\nPragma: no-cache\r\n")
    return tuple(part.encode() for part in (head + body).split("0" * 20))


def _head(length: int, more: str = "") -> str:
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{more}Content-Length: {length}\r\n\r\n"


class Connection:
    """One client's TLS connection, and what of its request has come so far."""

    __slots__ = ("buffer", "shaken", "socket")

    def __init__(self, accepted: ssl.SSLSocket) -> None:
        """Take a socket whose handshake has not begun."""
        self.socket = accepted
        self.shaken = False
        self.buffer = b""

    def request(self) -> tuple[bytes, bytes] | None:
        """Method and path of the request that is complete, which is taken out; None if none is."""
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        length = _LENGTH.search(self.buffer, 0, end)
        whole = end + 4 + (int(length[1]) if length else 0)
        if len(self.buffer) < whole:
            return None
        method, path, _ = self.buffer[: self.buffer.index(b"\r\n")].split(b" ", 2)
        self.buffer = self.buffer[whole:]
        return method, path


class Endpoint:
    """The server: one loop over its sockets and over the replies that wait for their latency to pass."""

    def __init__(self, context: ssl.SSLContext) -> None:
        """Listen on a free loopback port."""
        self.context = context
        self.counts = {"connections": 0, "requests": 0, "faults": 0}
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.listener.setblocking(False)
        self.port: int = self.listener.getsockname()[1]
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.waiting: list[tuple[float, int, Connection]] = []
        self._parts = _reply_parts()

    def run(self) -> None:
        """Serve until standard input ends, which it does when whoever started this process is gone."""
        self.selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            timeout = max(self.waiting[0][0] - time.monotonic(), 0) if self.waiting else None
            for key, _ in self.selector.select(timeout):
                if key.data is not None:
                    self._serve(key.data)
                elif key.fileobj is self.listener:
                    self._accept()
                else:
                    return
            now = time.monotonic()
            while self.waiting and self.waiting[0][0] <= now:
                _, number, connection = heapq.heappop(self.waiting)
                self._send(connection, (b"%020d" % (FIRST_NUMBER + number)).join(self._parts))

    def _accept(self) -> None:
        accepted, _ = self.listener.accept()
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wrapped = self.context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
        self.counts["connections"] += 1
        self.selector.register(wrapped, selectors.EVENT_READ, Connection(wrapped))

    def _serve(self, connection: Connection) -> None:
        try:
            if not connection.shaken:
                connection.socket.do_handshake()
                connection.shaken = True
                return
            received = connection.socket.recv(65536)
            while connection.socket.pending():
                received += connection.socket.recv(65536)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            self.counts["faults"] += 1
            received = b""
        if not received:
            self._close(connection)
            return
        connection.buffer += received
        request = connection.request()
        if request is not None:
            self._answer(connection, *request)

    def _answer(self, connection: Connection, method: bytes, path: bytes) -> None:
        if method == b"POST":
            self.counts["requests"] += 1
            latency = int(path.split(b"/", 2)[1]) / 1000
            heapq.heappush(self.waiting, (time.monotonic() + latency, self.counts["requests"], connection))
            return
        document = self.counts if path == b"/stats" else self._discovery(path.decode())
        body = json.dumps(document)
        self._send(connection, (_head(len(body)) + body).encode())

    def _discovery(self, path: str) -> dict[str, str]:
        """What MSAL wants to know of an authority (OpenID Connect Discovery 1.0 §4)."""
        authority = f"https://127.0.0.1:{self.port}{path.partition('/.well-known')[0]}"
        return {
            "issuer": authority,
            "authorization_endpoint": f"{authority}/authorize",
            "token_endpoint": f"{authority}/token",
        }

    def _send(self, connection: Connection, reply: bytes) -> None:
        try:
            connection.socket.send(reply)
        except OSError:  # gone meanwhile, or it does not read what it asked for
            self.counts["faults"] += 1
            self._close(connection)

    def _close(self, connection: Connection) -> None:
        if connection.socket.fileno() >= 0:
            self.selector.unregister(connection.socket)
            connection.socket.close()


def main() -> None:
    """Serve with the certificate and key in a PEM file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.endpoint", description=__doc__.splitlines()[0])
    parser.add_argument("--certificate", required=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(parser.parse_args().certificate)
    endpoint = Endpoint(context)
    print(endpoint.port, flush=True)
    with endpoint.listener:
        endpoint.run()


if __name__ == "__main__":
    main()
