"""What goes over a connection: requests in one write, and replies in whatever form HTTP/1 allows."""

from __future__ import annotations

import gzip

import pytest

from mail_oauth.exceptions import TransportError
from mail_oauth.tokens import Secret
from mail_oauth.transport import MAX_BODY, fetch_json, post_form
from tests.transport.script import Script

OK = b"HTTP/1.1 200 OK\r\n"
SHORT = OK + b"Content-Length: 2\r\n\r\n{}"


def chunked(*chunks: bytes, trailer: bytes = b"") -> bytes:
    framed = b"".join(b"%x;extension=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return OK + b"Transfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n" + trailer + b"\r\n"


@pytest.fixture(autouse=True)
def _quick(quick: None) -> None:
    """Loopback may be called by plain http, and patience is short."""


class TestAReplyIsReadWhole:
    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param([SHORT], id="with its length"),
            pytest.param([bytes([byte]) for byte in SHORT], id="byte by byte"),
            pytest.param([chunked(b"{", b"}")], id="in chunks"),
            pytest.param(
                [chunked(b"{}", trailer=b"X-Late: 1\r\nContent-Encoding: gzip\r\n")], id="with a trailer"
            ),
            pytest.param([b"HTTP/1.1 100 Continue\r\n\r\n", SHORT], id="after 100"),
            pytest.param([b"HTTP/1.1 103 Early Hints\r\nContent-Encoding: gzip\r\n\r\n" + SHORT], id="after 103"),
            pytest.param([SHORT.replace(b" OK", b"")], id="without a reason"),
            pytest.param([SHORT.replace(b"\r\n", b"\n")], id="with bare line feeds"),
            pytest.param(
                [SHORT.replace(b"Con", b"X-Long: one\r\n two\r\nX-Empty:\r\nCon")], id="with folded lines"
            ),
            pytest.param(
                [SHORT.replace(b"Con", b"Connection: Upgrade\r\nUpgrade: h2,h2c\r\nCon")], id="offering HTTP/2"
            ),
        ],
    )
    def test_and_its_connection_is_used_again(self, answer):
        with Script(answer) as server:
            for _ in range(3):
                reply = fetch_json(server.url)
                assert (reply.status, reply.body) == (200, b"{}")
            assert server.connections == 1

    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param([OK, b"\r\n{", b"}"], id="without a length"),
            pytest.param([SHORT.replace(b"1.1", b"1.0")], id="by HTTP/1.0"),
            pytest.param([SHORT.replace(b"Con", b"Connection: close\r\nCon")], id="saying so"),
        ],
    )
    def test_and_its_connection_is_not_when_the_server_closes_it(self, answer):
        with Script(answer, closes=True) as server:
            for _ in range(3):
                assert fetch_json(server.url).body == b"{}"
            assert server.connections == 3

    def test_in_chunks_and_compressed(self):
        packed = gzip.compress(b"{}")
        answer = chunked(packed[:5], packed[5:]).replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n", 1)
        with Script([answer]) as server:
            assert fetch_json(server.url).body == b"{}"

    def test_with_headers_that_stand_more_than_once(self):
        with Script([SHORT.replace(b"Con", b"X-Many: one\r\nx-many:  two \r\nCon")]) as server:
            assert fetch_json(server.url).header("X-Many") == "one, two"


@pytest.mark.parametrize(
    "surplus", [SHORT.replace(b"{}", b"[]"), b"nonsense", b"HTTP/1.1 408 Request Timeout\r\n\r\n"]
)
def test_what_comes_after_a_reply_is_never_taken_for_the_next(surplus):
    with Script([SHORT + surplus]) as server:
        for _ in range(3):
            reply = fetch_json(server.url)
            assert (reply.status, reply.body) == (200, b"{}")
        assert server.connections == 3


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        pytest.param(b"", "reset", id="nothing"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n", "reset", id="another protocol"),
        pytest.param(b"HTTP/1.1 200", "reset", id="half a line"),
        pytest.param(SHORT[:-6], "reset", id="half a head"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", "reset", id="no reply proper"),
        pytest.param(
            b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", "reset", id="HTTP/2"
        ),
        pytest.param(SHORT.replace(b": 2", b": -2"), "reset", id="a length below nothing"),
        pytest.param(OK + b"X: " + b"x" * 70_000 + b"\r\n\r\n", "too_large", id="an endless header"),
        pytest.param(OK + b"X: x\r\n" * 20_000 + b"\r\n", "too_large", id="endless headers"),
        pytest.param(SHORT[:-1], "body_lost", id="half a body"),
        pytest.param(chunked(b"{}")[:-5], "body_lost", id="no last chunk"),
        pytest.param(chunked(b"{}").replace(b"2;", b"x;"), "body_lost", id="a chunk without a length"),
        pytest.param(chunked(b"{}", trailer=b"X: x\r\n" * MAX_BODY), "too_large", id="an endless trailer"),
    ],
)
def test_what_is_no_reply_is_a_fault_after_which_the_outcome_is_unknown(answer, cause):
    with Script([answer], closes=True) as server, pytest.raises(TransportError) as raised:
        post_form(server.url, {"token": "x"})
    assert (raised.value.cause, raised.value.outcome_unknown) == (cause, True)
    assert raised.value.__context__ is None


@pytest.mark.parametrize(("answer", "cause"), [([], "reset"), ([SHORT[:-1]], "body_lost")])
def test_a_connection_that_is_reset_leaves_the_outcome_unknown(answer, cause):
    with Script(answer, resets=True) as server, pytest.raises(TransportError) as raised:
        post_form(server.url, {"token": "x"})
    assert (raised.value.cause, raised.value.outcome_unknown) == (cause, True)
    assert raised.value.__context__ is None


class TestARequest:
    def test_is_one_write(self, settings, authority):
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "CA_BUNDLE": str(authority.bundle)}
        with Script([SHORT], tls=authority.context()) as server:
            post_form(server.url, {"token": "x"})
            assert server.reads == [1], "a read gives one TLS record at the most"

    def test_says_what_it_must_and_no_more(self):
        with Script([SHORT]) as server:
            post_form(f"{server.url}?q=%C3%A4%20b", {"token": "ä b"})
            line, *headers, _, body = server.requests[0].decode().split("\r\n")
            host = server.url.split("/")[2]
        named = dict(header.split(": ") for header in headers)
        assert line == "POST /token?q=%C3%A4%20b HTTP/1.1"
        assert body == "token=%C3%A4+b"
        assert named.pop("User-Agent")
        assert named == {
            "Host": host,
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "Content-Type": "application/x-www-form-urlencoded",
            "Content-Length": "14",
        }

    @pytest.mark.parametrize(
        "token", ["canary\r\nX-Evil: 1", "canary\nX-Evil: 1", "canary\rX-Evil: 1", "canary-ä"]
    )
    def test_with_a_token_that_is_no_header_is_not_sent(self, token):
        with Script([SHORT]) as server:
            with pytest.raises(TransportError) as raised:
                fetch_json(server.url, bearer=Secret(token))
            assert server.requests == []
        assert raised.value.__context__ is None
        assert "canary" not in repr(raised.value)

    def test_is_not_sent_once_the_deadline_has_passed(self, settings):
        """A token that is spent after its lease has ended is spent twice."""
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "TOTAL_TIMEOUT": 1e-9}
        with Script([SHORT]) as server:
            with pytest.raises(TransportError) as raised:
                post_form(server.url, {"token": "x"})
            assert server.requests == []
        assert (raised.value.cause, raised.value.outcome_unknown) == ("connect_timeout", False)
