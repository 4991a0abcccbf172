"""A proxy that tunnels (CONNECT, RFC 9110 §9.3.6), and notes for whom."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Tunnel:
    """A loopback proxy; a context manager. `status` is what it answers; it tunnels after a 200 alone."""

    def __init__(self, status: int = 200) -> None:
        self.asked: list[tuple[str, str | None]] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_CONNECT(self) -> None:
                asked.append((self.path, self.headers["Proxy-Authorization"]))
                self.send_response(status)
                self.end_headers()
                if status == 200:
                    host, _, port = self.path.rpartition(":")
                    with socket.create_connection((host, int(port))) as there, contextlib.suppress(OSError):
                        _relay(self.connection, there)

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Tunnel:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _relay(one: socket.socket, other: socket.socket) -> None:
    """Pass on what comes from either side, until one has ended."""
    onward = {one: other, other: one}
    while True:
        for ready in select.select([one, other], [], [])[0]:
            data = ready.recv(65536)
            if not data:
                return
            onward[ready].sendall(data)
