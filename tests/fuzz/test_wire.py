"""Whatever bytes a server sends instead of HTTP: a reply or a fault of the transport; nothing hangs, nothing crashes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import strategies as st

from mail_oauth.exceptions import TransportError
from mail_oauth.tokens import HttpReply
from mail_oauth.transport import MAX_BODY, fetch_json
from tests.fuzz.cases import body_of, corpus, fuzz
from tests.fuzz.texts import spoiled

STATUS_LINES = [
    b"HTTP/1.1 200 OK",
    b"HTTP/1.0 200",
    b"HTTP/1.1 204 No",
    b"HTTP/1.1 100 Continue",
    b"HTTP/1.1 999 x",
]
STATUS_LINES += [
    b"HTTP/1.1 302 Found",
    b"HTTP/2 200",
    b"HTTP/1.1 abc x",
    b"ICY 200 OK",
    b"",
    b"HTTP/1.1 -1 x",
    b"\xff",
]
HEADERS = [
    b"Content-Length: 2",
    b"Content-Length: -5",
    b"Content-Length: 99",
    b"Content-Length: 1e3",
    b"Content-Length: 2, 2",
]
HEADERS += [
    b"Content-Encoding: gzip",
    b"Content-Encoding: br, gzip, deflate",
    b"Content-Encoding: x" * 20,
    b"Location: \xff",
]
HEADERS += [
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Set-Cookie: a=b",
    b": x",
    b"no colon",
    b" folded",
]
HEADERS += [
    b"X: \x00\xff",
    b"X: " + b"y" * 70_000,
    b"X: y\r\n" * 150,
    b"Content-Type: \xff; charset=zlib",
    b"Connection: close",
]
BODIES = [
    b"",
    b"{}",
    b"2\r\n{}\r\n0\r\n\r\n",
    b"zz\r\n{}",
    b"-1\r\n",
    b"ffffffffffffffff\r\n",
    b"2;x=" + b"y" * 70_000 + b"\r\n{}",
]
BODIES += [
    b"\x1f\x8b\x08",
    b"\x1f\x8b" + b"\x00" * 30,
    b"{}HTTP/1.1 200 OK\r\n\r\n",
    b"0\r\n" + b"X: y\r\n" * 500 + b"\r\n",
]


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """What looks like an answer."""
    head = [draw(st.sampled_from(STATUS_LINES)), *draw(st.lists(st.sampled_from(HEADERS), max_size=4))]
    end = draw(st.sampled_from([b"\r\n"] * 8 + [b"\n", b"\r", b"\x00"]))
    answer = end.join([*head, b"", b""]) + draw(st.sampled_from(BODIES) | st.binary(max_size=30))
    if draw(st.booleans()):
        return answer
    return draw(spoiled(answer)) if len(answer) < 5000 else draw(st.binary(max_size=80))


class Babbler:
    """A server that reads a request and sends what it was told, then ends the connection."""

    def __init__(self) -> None:
        self.says = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                try:
                    connection.settimeout(2)
                    connection.recv(65536)
                    connection.sendall(self.says)
                    connection.shutdown(socket.SHUT_WR)
                    connection.recv(1)  # until the other side has read, and closes
                except OSError:
                    continue

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def holds(self, says: bytes) -> str:
        self.says = says
        try:
            reply = fetch_json(self.url)
        except TransportError as error:
            fault = error
        else:
            return self._is_reply(reply)
        assert fault.cause in {"reset", "body_lost", "bad_encoding", "too_large", "timeout"}
        assert fault.outcome_unknown
        return fault.cause

    def _is_reply(self, reply: HttpReply) -> str:
        assert 100 <= reply.status <= 999
        assert len(reply.body) <= MAX_BODY
        assert all(isinstance(text, str) for pair in reply.headers.items() for text in pair)
        return "a reply"


@pytest.fixture
def babbler(quick) -> Iterator[Babbler]:
    server = Babbler()
    yield server
    server.close()


def test_any_answer(babbler):
    fuzz("wire", answers(), babbler.holds)


@pytest.mark.parametrize("case", corpus("wire"), ids=lambda case: case["name"])
def test_the_corpus(babbler: Babbler, case: dict[str, Any]):
    assert babbler.holds(body_of(case)) == case["expect"]
