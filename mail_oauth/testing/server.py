"""The HTTP server: loopback only, HTTP/1.1 with keep-alive, one daemon thread for each connection."""

import contextlib
import logging
import selectors
import socket
import socketserver
import ssl
import sys
import threading
from collections.abc import Callable
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

from mail_oauth.testing.messages import Answer, Incoming, Reply, json_reply
from mail_oauth.testing.silence import serving

log = logging.getLogger(__name__)

LARGEST_BODY: Final = 1024 * 1024
IDLE_SECONDS: Final = 120


class Server(ThreadingHTTPServer):
    """Serves ``answer`` until `stop`."""

    daemon_threads = True
    allow_reuse_address = True
    # With the default of 5, a burst of refreshes would wait a second for its SYN to be sent again.
    request_queue_size = 512
    timeout = 0  # `handle_request` is called when there is one

    def __init__(
        self, port: int, answer: Callable[[Incoming], Answer], *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.answer = answer
        self.stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        super().__init__(("127.0.0.1", port), Handler)
        if tls:
            # The handshake waits for the connection's own thread: a silent client must not block the others.
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self._alarm, self._bell = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="fake-oauth-provider", daemon=True)

    def server_bind(self) -> None:
        """Bind without the reverse DNS look-up that `http.server` makes here."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[0], self.server_address[1]  # type: ignore[assignment]

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self, timeout: float = 5) -> None:
        """Stop listening, end the open connections, and wait for their threads for at most ``timeout`` s."""
        self._bell.send(b"!")  # and only then: a thread that sees it is over closes the other end
        self.stopping.set()
        self._thread.join(timeout)
        self.server_close()
        self._bell.close()
        with self._changed:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._open, timeout)

    def _serve(self) -> None:
        """Answer until `stop`. Unlike `serve_forever`, which looks up many times a second, it sleeps meanwhile."""
        with self._alarm, selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            selector.register(self._alarm, selectors.EVENT_READ)
            while not self.stopping.is_set():
                if any(key.fileobj is self for key, _ in selector.select()):
                    self.handle_request()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection; it is known to `stop` while it lasts."""
        with self._changed:
            self._open.add(request)
        try:
            with serving():
                super().process_request_thread(request, client_address)
        finally:
            with self._changed:
                self._open.discard(request)
                self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no event; anything else is logged by type, for messages can quote tokens."""
        kind = sys.exc_info()[0]
        if kind is not None and not issubclass(kind, OSError):
            log.error("The fake provider failed with %s.", kind.__name__)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "FakeOAuthProvider"
    sys_version = ""
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True
    # Head and body leave in one write: two small packets would wait for each other (Nagle, delayed ACK).
    wbufsize = 256 * 1024

    def do_GET(self) -> None:
        """Answer a GET."""
        self._answer()

    def do_POST(self) -> None:
        """Answer a POST."""
        self._answer()

    def do_HEAD(self) -> None:
        """Refuse a HEAD."""
        self._deliver(Answer(reply=Reply(status=405, headers=(("Allow", "GET, POST"),))))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Write no access log: request lines carry codes."""

    def _answer(self) -> None:
        body = self._read_body()
        if body is None:
            self.close_connection = True
            self._deliver(Answer(reply=json_reply({"error": "invalid_request"}, 413)))
            return
        target = urlsplit(self.path)
        headers = {name.title(): text for name, text in self.headers.items()}
        incoming = Incoming(method=self.command, path=target.path, query=target.query, headers=headers, body=body)
        try:
            answer = self.server.answer(incoming)
        except Exception as error:  # noqa: BLE001 - a test must see a reply, and no traceback with tokens in it
            log.error("The fake provider failed with %s at %s.", type(error).__name__, incoming.path)
            answer = Answer(reply=json_reply({"error": "server_error"}, 500))
        self._deliver(answer)

    def _read_body(self) -> str | None:
        """The body as text; ``None`` when it is too large or of unknown length."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal() or int(length) > LARGEST_BODY:
            return None
        return self.rfile.read(int(length)).decode("utf-8", "replace")

    def _deliver(self, answer: Answer) -> None:
        delivery, reply = answer.delivery, answer.reply
        if delivery.hang_seconds:
            self.server.stopping.wait(delivery.hang_seconds)
        if delivery.cut != "nothing":
            self.close_connection = True
        if delivery.cut == "everything":
            return
        body = reply.body[: len(reply.body) // 2] if delivery.cut == "mid_body" else reply.body
        if delivery.drip_seconds and delivery.drip_from == "headers":
            self._drip(self._head(reply) + body, delivery.drip_seconds)
            return
        self.wfile.write(self._head(reply))
        if delivery.drip_seconds:
            self._drip(body, delivery.drip_seconds)
        else:
            self.wfile.write(body)

    def _head(self, reply: Reply) -> bytes:
        headers = (*reply.headers, ("Content-Length", str(len(reply.body))), ("Server", self.server_version))
        closing = (("Connection", "close"),) if self.close_connection else ()
        lines = (f"{name}: {text}" for name, text in (*headers, ("Date", self.date_time_string()), *closing))
        return "\r\n".join(
            (f"HTTP/1.1 {reply.status} {responses.get(reply.status, 'Unknown')}", *lines, "", "")
        ).encode("latin-1")

    def _drip(self, content: bytes, seconds: float) -> None:
        self.wfile.flush()
        for byte in content:
            self.wfile.write(bytes((byte,)))
            self.wfile.flush()
            if self.server.stopping.wait(seconds):
                self.close_connection = True
                return
