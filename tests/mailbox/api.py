"""An interface that takes messages over HTTP, as Graph and Gmail document theirs: bearer tokens, MIME, JSON errors."""

from __future__ import annotations

import base64
import json
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from mail_oauth.testing.provider import FakeProvider


@dataclass(frozen=True)
class Posted:
    """A message that was taken."""

    path: str
    content_type: str
    content: bytes


class MailApi:
    """Takes messages of whoever brings a living token with a scope; `say` makes the next answers others."""

    def __init__(self, provider: FakeProvider, scope: str, *, status: int, encoded: bool) -> None:
        self.provider, self.scope = provider, scope
        self.status, self.encoded = status, encoded
        self.messages: list[Posted] = []
        self.answers: list[tuple[int, dict[str, Any]]] = []
        self.calls = 0
        self.seconds = 0.0
        """How long it takes for an answer."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def say(self, status: int, body: dict[str, Any] | None = None) -> None:
        """Answer so next."""
        self.answers.append((status, body or {}))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str, headers: Any, body: bytes) -> tuple[int, dict[str, Any]]:
        self.calls += 1
        time.sleep(self.seconds)
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        if not self.provider.is_valid_access_token(token, scope=self.scope):
            return 401, {"error": {"code": "InvalidAuthenticationToken", "message": "Lifetime validation failed."}}
        if self.answers:
            return self.answers.pop(0)
        content = base64.b64decode(body, validate=True) if self.encoded else body
        self.messages.append(Posted(path, headers.get("Content-Type", ""), content))
        return self.status, {}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:  # http.server's
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, said = api.answer(self.path, self.headers, body)
                content = json.dumps(said).encode() if said else b""
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
