"""A mail server that does as it is told: it says lines, reads lines, and keeps what it heard."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any, Self

Talk = Callable[["Conversation"], None]


class Conversation:
    """One connection, as the server sees it."""

    def __init__(self, sock: socket.socket, heard: list[bytes]) -> None:
        self.sock = sock
        self.heard = heard
        self.tag = ""  # of IMAP's last command
        self._file: IO[bytes] = sock.makefile("rwb", buffering=0)

    def say(self, *lines: str) -> None:
        """Send lines."""
        self.send("".join(f"{line}\r\n" for line in lines).encode())

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def hear(self) -> bytes:
        """Read a line; an empty one where the client has hung up."""
        line = self._file.readline()
        self.heard.append(line)
        return line

    def dribble(self, data: bytes, seconds: float) -> None:
        """Send a byte at a time, for ever."""
        while True:
            for byte in data:
                self.send(bytes([byte]))
                time.sleep(seconds)

    def close(self) -> None:
        self._file.close()
        self.sock.close()


class ScriptedServer:
    """Listens on loopback; has the same conversation with whoever connects, each in turn."""

    def __init__(self, talk: Talk, context: ssl.SSLContext | None) -> None:
        self.heard: list[bytes] = []
        self.connections = 0
        self._talk, self._context = talk, context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with suppress(OSError):
                self._serve_one(sock)

    def _serve_one(self, sock: socket.socket) -> None:
        with sock:
            sock.settimeout(10)
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
            conversation = Conversation(sock, self.heard)
            try:
                self._talk(conversation)
            finally:
                conversation.close()


# --- conversations, up to the server's answer to a token ---


Answers = Mapping[str, Sequence[str]]
"""What is said to a command, by its first word; `{tag}` stands for IMAP's tag."""


def imap(
    answer: Talk, capabilities: str = "IMAP4rev1 AUTH=XOAUTH2 AUTH=OAUTHBEARER", then: Answers | None = None
) -> Talk:
    def talk(line: Conversation) -> None:
        line.say(f"* OK [CAPABILITY {capabilities}] ready")
        while heard := line.hear():
            tag, _, command = heard.decode("ascii", "replace").strip().partition(" ")
            line.tag = tag
            if command.startswith("AUTHENTICATE"):
                line.say("+ ")
                line.hear()
                answer(line)
            elif command.startswith("CAPABILITY"):
                line.say(f"* CAPABILITY {capabilities}", f"{tag} OK done")
            else:
                line.say(*(each.format(tag=tag) for each in told(then, command, "{tag} BAD unknown")))

    return talk


def pop(answer: Talk, mechanisms: str = "XOAUTH2", then: Answers | None = None, tag: str = "SASL") -> Talk:
    def talk(line: Conversation) -> None:
        line.say("+OK ready")
        while heard := line.hear():
            if heard.startswith(b"CAPA"):
                line.say("+OK", *([f"{tag} {mechanisms}"] if mechanisms else []), ".")
            elif heard.startswith(b"AUTH"):
                line.say("+ ")
                line.hear()
                answer(line)
            else:
                line.say(*told(then, heard.decode(), "-ERR unknown"))

    return talk


def smtp(answer: Talk, mechanisms: str = "XOAUTH2", then: Answers | None = None) -> Talk:
    def talk(line: Conversation) -> None:
        line.say("220 ready")
        while heard := line.hear():
            if heard.upper().startswith(b"EHLO"):
                line.say(*(["250-scripted", f"250 AUTH {mechanisms}"] if mechanisms else ["250 scripted"]))
            elif heard.startswith(b"AUTH"):
                line.say("334 ")
                line.hear()
                answer(line)
            else:
                line.say(*told(then, heard.decode(), "500 unknown"))

    return talk


def told(answers: Answers | None, command: str, otherwise: str) -> Sequence[str]:
    word = command.split(maxsplit=1)[0].upper() if command.split() else ""
    return (answers or {}).get(word, [otherwise])


def answering(answers: Sequence[bytes]) -> Talk:
    """A greeting and an answer to each line, in which `{tag}` stands for IMAP's tag; who waits for more is hung up on."""

    def talk(line: Conversation) -> None:
        line.sock.settimeout(0.1)
        tag = b""
        for answer in answers:
            line.send(answer.replace(b"{tag}", tag))
            tag = line.hear().partition(b" ")[0]

    return talk


BY_PROTOCOL = {"imap": imap, "pop": pop, "smtp": smtp}


def saying(protocol: str, text: str) -> Talk:
    """The answer to a token: a line, behind IMAP's tag."""

    def answer(line: Conversation) -> None:
        line.say(f"{line.tag} {text}" if protocol == "imap" else text)

    return answer


def challenging(protocol: str, challenge: bytes, then: str, times: int = 1) -> Talk:
    """The answer to a token: an error's challenge, and after the client's line `then`."""
    prefix = b"334 " if protocol == "smtp" else b"+ "

    def answer(line: Conversation) -> None:
        for _ in range(times):
            line.send(prefix + challenge + b"\r\n")
            if not line.hear():
                return
        saying(protocol, then)(line)

    return answer
