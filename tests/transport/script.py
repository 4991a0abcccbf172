"""A server that says what it was told, byte by byte, whether or not that is HTTP."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Sequence

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Script:
    """A loopback server; a context manager.

    To each request that it reads whole it sends the pieces of `answer`; then it hangs up if `closes`, or breaks the
    connection off if `resets`. It notes the `connections` it took, and the `reads` that each request took it.
    """

    def __init__(
        self,
        answer: Sequence[bytes],
        *,
        closes: bool = False,
        resets: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.answer = answer
        self.closes = closes or resets
        self.resets = resets
        self.connections = 0
        self.requests: list[bytes] = []
        self.reads: list[int] = []
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}/token"

    def __enter__(self) -> Script:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return  # the end
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            threading.Thread(target=self._serve, args=[accepted], daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        with contextlib.suppress(OSError), self._secured(accepted) as connection:  # a client may have enough of it
            while self._heard(connection):
                for piece in self.answer:
                    connection.sendall(piece)
                if self.resets:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                if self.closes:
                    return

    def _secured(self, accepted: socket.socket) -> socket.socket:
        return self._tls.wrap_socket(accepted, server_side=True) if self._tls else accepted

    def _heard(self, connection: socket.socket) -> bool:
        """Read one request; False when there comes none any more."""
        request, reads = b"", 0
        while not _is_whole(request):
            data = connection.recv(65536)
            if not data:
                return False
            request, reads = request + data, reads + 1
        self.requests.append(request)
        self.reads.append(reads)
        return True


def _is_whole(request: bytes) -> bool:
    head, found, body = request.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return bool(found) and len(body) >= (int(length[1]) if length else 0)
