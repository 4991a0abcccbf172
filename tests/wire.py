"""A server that notes what it is asked, byte by byte, and answers what it is told."""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: str


@dataclass
class Recorded:
    """A running server's notes: its requests, and how many connections it accepted."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"{}"


class Wire:
    """A loopback server with keep-alive, plain or with TLS; a context manager that gives its notes."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.notes = notes = Recorded()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                notes.connections += 1

            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                parts = urlsplit(self.path)
                notes.requests.append(
                    Request(
                        method=self.command,
                        path=parts.path,
                        query=parts.query,
                        headers={name.lower(): value for name, value in self.headers.items()},
                        body=self.rfile.read(length).decode(),
                    )
                )
                self.send_response(notes.status)
                for name, value in {"Content-Length": str(len(notes.body)), **notes.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(notes.body)

            do_POST = do_GET  # noqa: N815  # the standard library's name

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args: Any) -> None:
                """A client that refuses a certificate is no news."""

        self._server = Quiet(("127.0.0.1", 0), Handler)
        if tls:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        scheme = "https" if tls else "http"
        notes.url = f"{scheme}://127.0.0.1:{self._server.server_port}/token"

    def __enter__(self) -> Recorded:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self.notes

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
