"""A provider costs a bounded time and a bounded memory, whatever it does."""

from __future__ import annotations

import gzip
import time
import tracemalloc
import zlib

import pytest

from mail_oauth.exceptions import TransportError
from mail_oauth.testing.faults import Fault
from mail_oauth.tokens import Secret
from mail_oauth.transport import MAX_BODY, fetch_json, post_form

TOTAL = 0.6


class TestTime:
    @pytest.fixture(autouse=True)
    def hurried(self, quick, settings):
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "READ_TIMEOUT": 0.4, "TOTAL_TIMEOUT": TOTAL}

    @pytest.mark.parametrize(
        "fault",
        [Fault.drip(0.2, part="headers"), Fault.drip(0.1, part="body"), Fault.hang(30), Fault.slow(30)],
        ids=["headers dribble", "body dribbles", "silence", "late"],
    )
    def test_is_bounded_in_all(self, endpoint, refresh_token, fake_provider_server, fault):
        fake_provider_server.fail_next(1, fault)
        begun = time.monotonic()
        with pytest.raises(TransportError) as raised:
            endpoint.refresh(refresh_token)
        assert time.monotonic() - begun < TOTAL + 10
        assert (raised.value.cause, raised.value.outcome_unknown) == ("timeout", True)

    @pytest.mark.parametrize(("read", "total"), [(0.2, 60), (60, 0.2)])
    def test_of_one_read_is_bounded_by_both(
        self, settings, endpoint, refresh_token, fake_provider_server, read, total
    ):
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "READ_TIMEOUT": read, "TOTAL_TIMEOUT": total}
        fake_provider_server.fail_next(1, Fault.slow(2))
        with pytest.raises(TransportError) as raised:
            endpoint.refresh(refresh_token)
        assert (raised.value.cause, raised.value.outcome_unknown) == ("timeout", True)

    def test_of_one_call_is_not_that_of_the_next(self, endpoint, refresh_token, fake_provider_server):
        fake_provider_server.fail_next(1, Fault.drip(0.1, part="body", after_issue=False))
        with pytest.raises(TransportError):
            endpoint.refresh(refresh_token)
        reply = endpoint.refresh(
            Secret(fake_provider_server.grant("ada@example.com", personality="plain")["refresh_token"])
        )
        assert reply.status == 200


class TestSize:
    @pytest.mark.parametrize("fault", [Fault.huge_body(), Fault.gzip_bomb()], ids=lambda fault: fault.name)
    def test_is_capped(self, endpoint, refresh_token, fake_provider_server, fault):
        fake_provider_server.fail_next(1, fault)
        with pytest.raises(TransportError) as raised:
            endpoint.refresh(refresh_token)
        assert raised.value.cause == "too_large"

    @pytest.mark.parametrize("layers", [1, 2])
    def test_a_bomb_takes_little_memory(self, wire, layers):
        bomb = zlib.compressobj(wbits=31)
        wire.body = b"".join([*(bomb.compress(b" " * 2**20) for _ in range(64)), bomb.flush()])
        if layers == 2:
            wire.body = gzip.compress(wire.body)
        wire.headers = {"Content-Encoding": ", ".join(["gzip"] * layers)}
        tracemalloc.start()
        with pytest.raises(TransportError, match="too large"):
            fetch_json(wire.url)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 16 * MAX_BODY

    @pytest.mark.parametrize("size", [0, 1, 1000, MAX_BODY - 1, MAX_BODY])
    @pytest.mark.parametrize("packed", [False, True])
    def test_within_the_cap_is_read_whole(self, wire, size, packed):
        body = b"x" * size
        if packed:
            wire.headers = {"Content-Encoding": "gzip"}
        wire.body = gzip.compress(body) if packed else body
        assert fetch_json(wire.url).body == body
        assert fetch_json(wire.url).body == body
        assert wire.connections == 1

    def test_just_over_the_cap_is_refused(self, wire):
        wire.body = b"x" * (MAX_BODY + 1)
        with pytest.raises(TransportError, match="too large"):
            fetch_json(wire.url)

    def test_what_cannot_be_unpacked_is_a_fault(self, wire):
        wire.headers, wire.body = {"Content-Encoding": "gzip"}, b"no gzip"
        with pytest.raises(TransportError) as raised:
            fetch_json(wire.url)
        assert (raised.value.cause, raised.value.outcome_unknown) == ("bad_encoding", True)


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "cause"), [(Fault.close(), "reset"), (Fault.cut_body(), "body_lost")], ids=["closed", "cut"]
    )
    def test_after_the_request_leave_its_outcome_unknown(
        self, endpoint, refresh_token, fake_provider_server, fault, cause
    ):
        fake_provider_server.fail_next(1, fault)
        with pytest.raises(TransportError) as raised:
            endpoint.refresh(refresh_token)
        assert (raised.value.cause, raised.value.outcome_unknown) == (cause, True)

    @pytest.mark.parametrize(
        ("url", "cause"),
        [("http://127.0.0.1:1/token", "refused"), ("https://no-such-host.invalid/token", "dns")],
    )
    def test_before_the_request_are_known(self, quick, url, cause):
        with pytest.raises(TransportError) as raised:
            post_form(url, {"token": "canary-token"})
        assert (raised.value.cause, raised.value.outcome_unknown) == (cause, False)
        assert "canary-token" not in f"{raised.value} {raised.value!r}"
        assert raised.value.__cause__ is None
        assert raised.value.__suppress_context__

    @pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 404, 429, 500, 503])
    def test_no_status_is_an_exception(self, wire, status):
        wire.status, wire.body = status, b""
        assert fetch_json(wire.url).status == status
        assert post_form(wire.url, {}).status == status

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_redirects_are_handed_back_unfollowed(self, wire, status):
        odd = ["https://evil.example/", "http://[", "//", "\x80\xff", "x" * 5000, "javascript:alert(1)"]
        for number, location in enumerate(odd, 1):
            wire.status, wire.headers = status, {"Location": location}
            assert post_form(wire.url, {"token": "x"}).status == status
            assert len(wire.requests) == number

    def test_a_redirect_to_ourselves_neither(self, wire):
        wire.status, wire.headers = 307, {"Location": wire.url + "/again"}
        assert post_form(wire.url, {"token": "x"}).status == 307
        assert [request.path for request in wire.requests] == ["/token"]

    def test_headers_are_read_in_any_case(self, wire):
        wire.headers = {"RETRY-After": "7"}
        assert fetch_json(wire.url).header("Retry-After") == "7"
        assert fetch_json(wire.url).header("absent") == ""
