"""Small mail servers on loopback with real TLS: they greet, say what they can, and let nobody in."""

from __future__ import annotations

import contextlib
import socketserver
import ssl
import threading
from typing import Any, Self

MECHANISMS = ("XOAUTH2", "OAUTHBEARER")


class _Dialogue(socketserver.StreamRequestHandler):
    server: Any
    timeout = 10

    def handle(self) -> None:
        kind: MailServer = self.server.kind
        # A client that refuses a certificate, or hangs up, is no news.
        with contextlib.suppress(OSError, ssl.SSLError):
            if kind.tls_at_once:
                self._begin_tls()
            kind.talk(self)

    def _begin_tls(self) -> None:
        self.connection = self.server.kind.tls.wrap_socket(self.request, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", buffering=0)

    def finish(self) -> None:
        with contextlib.suppress(OSError, ssl.SSLError, ValueError):
            super().finish()
            self.connection.close()

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())

    def hear(self) -> str:
        """The next line; empty at the end of the connection."""
        return self.rfile.readline(4096).decode().strip()


class MailServer:
    """Speaks `protocol` ("IMAP", "POP" or "SMTP"); a context manager.

    With `starttls` it begins in clear, and `strips` that offer as an attacker would. `greeting` replaces its own;
    None is silence.
    """

    def __init__(
        self,
        protocol: str,
        tls: ssl.SSLContext,
        *,
        starttls: bool = False,
        strips: bool = False,
        mechanisms: tuple[str, ...] = MECHANISMS,
        greeting: str | None = "",
    ) -> None:
        self.tls, self.mechanisms, self.greeting = tls, mechanisms, greeting
        self.tls_at_once, self.strips = not starttls, strips
        self.talk = {"IMAP": self._imap, "POP": self._pop, "SMTP": self._smtp}[protocol]
        self.heard: list[str] = []

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *args: Any) -> None:
                """A client that went away is no news."""

        self._server: Any = Server(("127.0.0.1", 0), _Dialogue)
        self._server.kind = self

    @property
    def port(self) -> int:
        port: int = self._server.server_address[1]
        return port

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _greet(self, line: _Dialogue, usual: str) -> bool:
        if self.greeting is None:
            line.hear()
            return False
        line.say(self.greeting or usual)
        return True

    def _commands(self, line: _Dialogue) -> Any:
        while heard := line.hear():
            self.heard.append(heard)
            yield heard

    def _imap(self, line: _Dialogue) -> None:
        if not self._greet(line, "* OK ready"):
            return
        for heard in self._commands(line):
            tag, command = [*heard.split(), ""][:2]
            if command.upper() == "CAPABILITY":
                offers = " ".join(f"AUTH={name}" for name in self.mechanisms)
                start = "" if self.tls_at_once or self.strips else " STARTTLS"
                line.say(f"* CAPABILITY IMAP4rev1{start} {offers}")
            elif command.upper() == "STARTTLS":
                line.say(f"{tag} OK begin")
                line._begin_tls()
                continue
            elif command.upper() == "LOGOUT":
                line.say("* BYE")
            line.say(f"{tag} OK done")

    def _pop(self, line: _Dialogue) -> None:
        if not self._greet(line, "+OK ready"):
            return
        for heard in self._commands(line):
            command = heard.upper()
            line.say("+OK")
            if command == "CAPA":
                line.say("TOP")
                if not self.tls_at_once and not self.strips:
                    line.say("STLS")
                if self.mechanisms:
                    line.say(f"SASL {' '.join(self.mechanisms)}")
                line.say(".")
            elif command == "STLS":
                line._begin_tls()

    def _smtp(self, line: _Dialogue) -> None:
        if not self._greet(line, "220 mail.example ESMTP"):
            return
        for heard in self._commands(line):
            command = heard.split()[0].upper()
            if command == "EHLO":
                line.say("250-mail.example")
                secured = isinstance(line.connection, ssl.SSLSocket)
                if not secured and not self.strips:
                    line.say("250-STARTTLS")
                if secured and self.mechanisms:  # tokens are taken behind TLS only, as by most
                    line.say(f"250-AUTH LOGIN {' '.join(self.mechanisms)}")
                line.say("250 SIZE 1000")
            elif command == "STARTTLS":
                line.say("220 begin")
                line._begin_tls()
            elif command == "QUIT":
                line.say("221 bye")
                return
            else:
                line.say("500 what?")
