"""Every fault does what its name says, when it says, to whom it says."""

import gzip
import threading
import time

import pytest
import requests

from mail_oauth.testing.faults import Fault

BEFORE = {
    "oauth_error": Fault.oauth_error("temporarily_unavailable", status=503),
    "html": Fault.html(),
    "rate_limited": Fault.rate_limited(),
    "redirect": Fault.redirect("https://example.com/"),
    "empty": Fault.empty(),
    "json_value": Fault.json_value([]),
    "deep_json": Fault.deep_json(),
    "gzip_bomb": Fault.gzip_bomb(1024 * 1024),
    "huge_body": Fault.huge_body(1024 * 1024),
    "hang": Fault.hang(0.01),
    "close": Fault.close(),
    "drip": Fault.drip(0, after_issue=False),
    "cut_body": Fault.cut_body(after_issue=False),
}
AFTER = {
    "slow": Fault.slow(0.01),
    "drip_body": Fault.drip(0, part="body"),
    "drip_headers": Fault.drip(0, part="headers"),
    "drop_after_rotation": Fault.drop_after_rotation(),
    "close": Fault.close(after_issue=True),
    "hang": Fault.hang(0.01, after_issue=True),
    "cut_body": Fault.cut_body(),
    "html": Fault.html(after_issue=True),
    "empty": Fault.empty(after_issue=True),
    "bom": Fault.bom(),
    "reply_without": Fault.reply_without("refresh_token"),
    "reply_with": Fault.reply_with(expires_in="3599"),
}


@pytest.fixture
def token(provider):
    return provider.grant("ada@example.com", "oidc")["refresh_token"]


@pytest.fixture
def refresh(application, token):
    return lambda: application.refresh(token, "oidc")


def attempt(refresh):
    """The reply, or ``None`` when the connection broke."""
    try:
        return refresh()
    except requests.RequestException:
        return None


class TestWhenAFaultStrikes:
    @pytest.mark.parametrize("name", BEFORE)
    def test_before_the_endpoint_nothing_changed(self, provider, token, refresh, name):
        assert not BEFORE[name].after_issue
        provider.fail_next(fault=BEFORE[name])
        attempt(refresh)
        assert provider.is_current_refresh_token(token)
        assert refresh().status_code == 200

    @pytest.mark.parametrize("name", AFTER)
    def test_after_the_endpoint_the_token_is_rotated(self, provider, token, refresh, name):
        assert AFTER[name].after_issue
        provider.fail_next(fault=AFTER[name])
        attempt(refresh)
        assert not provider.is_current_refresh_token(token)
        newest = provider.newest_refresh_token("ada@example.com", "oidc")
        assert newest != token
        assert provider.is_current_refresh_token(newest)

    def test_after_the_endpoint_it_waits_for_a_request_that_succeeds(self, provider, application, token, refresh):
        provider.fail_next(fault=Fault.drop_after_rotation())
        assert application.refresh("made-up", "oidc").json()["error"] == "invalid_grant"
        with pytest.raises(requests.ConnectionError):
            refresh()
        assert not provider.is_current_refresh_token(token)


class TestWhomAFaultStrikes:
    def test_the_next_n_requests(self, provider, refresh):
        provider.fail_next(2, Fault.html(503))
        assert [refresh().status_code for _ in range(3)] == [503, 503, 200]

    def test_every_request_while_the_context_is_open(self, provider, refresh):
        with provider.fault(Fault.html(500)):
            assert [refresh().status_code for _ in range(3)] == [500, 500, 500]
        assert refresh().status_code == 200

    @pytest.mark.parametrize(
        ("scope", "struck"),
        [
            ({"personality": "oidc"}, True),
            ({"personality": "microsoft"}, False),
            ({"grant_type": "refresh_token"}, True),
            ({"grant_type": "authorization_code"}, False),
            ({"email": "ADA@example.com"}, True),
            ({"email": "bob@example.com"}, False),
            ({"endpoint": None}, True),
            ({"endpoint": "revoke"}, False),
        ],
    )
    def test_those_that_its_scope_covers(self, provider, refresh, scope, struck):
        provider.fail_next(fault=Fault.html(500), **scope)
        assert (refresh().status_code == 500) is struck

    @pytest.mark.parametrize("endpoint", ["revoke", "userinfo", "jwks", "discovery", "authorize"])
    def test_other_endpoints_too(self, provider, http, endpoint):
        provider.fail_next(fault=Fault.html(502), endpoint=endpoint)
        send = http.post if endpoint == "revoke" else http.get
        assert send(provider.urls("oidc")[endpoint]).status_code == 502

    def test_and_those_not_met_yet_can_be_asked_for(self, provider, refresh):
        provider.fail_next(fault=Fault.html(503))
        assert provider.pending_faults == ["html_503"]
        refresh()
        assert provider.pending_faults == []

    @pytest.mark.parametrize("scope", [{"endpoint": "tokens"}, {"personality": "yahoogle"}])
    def test_nobody_when_misspelled_but_says_so(self, provider, scope):
        with pytest.raises(ValueError, match="There is no"):
            provider.fail_next(**scope)

    def test_nobody_any_more_once_lifted(self, provider, refresh):
        provider.fail_next(9)
        provider.clear_faults()
        assert refresh().status_code == 200

    def test_one_at_a_time_in_the_order_they_were_armed(self, provider, refresh):
        provider.fail_next(fault=Fault.html(500))
        provider.fail_next(fault=Fault.html(503))
        assert [refresh().status_code for _ in range(3)] == [500, 503, 200]


class TestTheReply:
    def test_an_oauth_error_has_the_shape_of_a_real_one(self, provider, refresh):
        fault = Fault.oauth_error("invalid_client", status=401, aadsts=7000215, extra={"suberror": "x"})
        provider.fail_next(fault=fault)
        body = refresh().json()
        assert (body["error"], body["error_codes"], body["suberror"]) == ("invalid_client", [7000215], "x")
        assert body["error_description"].startswith("AADSTS7000215: ")

    @pytest.mark.parametrize("retry_after", ["30", "Wed, 21 Oct 2015 07:28:00 GMT", "soon", None])
    def test_a_rate_limit_sends_retry_after_as_it_is(self, provider, refresh, retry_after):
        provider.fail_next(fault=Fault.rate_limited(retry_after))
        reply = refresh()
        assert (reply.status_code, reply.headers.get("Retry-After")) == (429, retry_after)

    def test_a_gateway_sends_html(self, provider, refresh):
        provider.fail_next(fault=Fault.html(502))
        assert refresh().headers["Content-Type"] == "text/html"

    def test_a_redirect_redirects(self, provider, refresh):
        provider.fail_next(fault=Fault.redirect("https://example.com/"))
        reply = refresh()
        assert (reply.status_code, reply.headers["Location"]) == (302, "https://example.com/")

    @pytest.mark.parametrize(
        ("fault", "body"),
        [
            (Fault.empty(), b""),
            (Fault.json_value(["x"]), b'["x"]'),
            (Fault.json_value({"error": "invalid_code"}), b'{"error": "invalid_code"}'),
            (Fault.deep_json(3), b"[[[]]]"),
            (Fault.raw(999, b"odd"), b"odd"),
        ],
    )
    def test_a_body_is_what_it_was_told_to_be(self, provider, refresh, fault, body):
        provider.fail_next(fault=fault)
        assert refresh().content == body

    def test_a_bom_precedes_the_true_reply(self, provider, refresh):
        provider.fail_next(fault=Fault.bom())
        assert refresh().content.startswith(b'\xef\xbb\xbf{"access_token"')

    def test_a_gzip_bomb_is_small_until_it_is_opened(self, provider, application, token, http):
        provider.fail_next(fault=Fault.gzip_bomb(4 * 1024 * 1024))
        with http.post(provider.urls("oidc")["token"], data={}, stream=True) as reply:
            packed = reply.raw.read(decode_content=False)
        assert len(packed) < 20_000
        assert len(gzip.decompress(packed)) == 4 * 1024 * 1024

    def test_a_huge_body_is_a_well_formed_reply(self, provider, refresh):
        provider.fail_next(fault=Fault.huge_body(2_000_000))
        assert len(refresh().json()["access_token"]) == 2_000_000

    @pytest.mark.parametrize(
        ("fault", "check"),
        [
            (Fault.reply_without("refresh_token"), lambda reply: "refresh_token" not in reply),
            (Fault.reply_with(expires_in="3599"), lambda reply: reply["expires_in"] == "3599"),
            (Fault.reply_with(token_type="mac"), lambda reply: reply["token_type"] == "mac"),
            (Fault.reply_with(scope="less"), lambda reply: reply["scope"] == "less"),
            (Fault.mutate(lambda reply: [reply]), lambda reply: isinstance(reply, list)),
        ],
    )
    def test_a_true_reply_can_be_altered(self, provider, refresh, fault, check):
        provider.fail_next(fault=fault)
        assert check(refresh().json())


class TestTheWire:
    @pytest.mark.parametrize("fault", [Fault.close(), Fault.drop_after_rotation(), Fault.hang(0.05)])
    def test_can_close_without_a_reply(self, provider, refresh, fault):
        provider.fail_next(fault=fault)
        with pytest.raises(requests.ConnectionError):
            refresh()
        (call,) = provider.token_calls("refresh_token")
        assert (call.status, call.fault) == (None, fault.name)

    def test_can_break_in_the_middle_of_the_body(self, provider, refresh):
        provider.fail_next(fault=Fault.cut_body())
        with pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)):
            refresh()

    def test_can_say_nothing_until_the_client_gives_up(self, provider, application, token):
        provider.fail_next(fault=Fault.hang(30))
        with pytest.raises(requests.ReadTimeout):
            application.http.post(provider.urls("oidc")["token"], data={}, timeout=0.1)

    @pytest.mark.parametrize("part", ["headers", "body"])
    def test_can_drip_so_slowly_that_no_read_times_out(self, provider, application, part):
        provider.fail_next(fault=Fault.drip(0.05, part=part, after_issue=False))
        with pytest.raises(requests.RequestException):
            application.http.post(provider.urls("oidc")["token"], data={}, timeout=0.02)
        provider.fail_next(fault=Fault.drip(0.0001, part=part))
        reply = application.refresh(provider.grant("ada@example.com", "oidc")["refresh_token"], "oidc")
        assert reply.status_code == 200

    def test_is_released_at_once_when_the_provider_stops(self, provider, application):
        provider.fail_next(fault=Fault.hang(60))
        failed = threading.Event()

        def wait():
            try:
                requests.post(provider.urls("oidc")["token"], data={}, timeout=30)
            except requests.RequestException:
                failed.set()

        waiting = threading.Thread(target=wait)
        waiting.start()
        while not provider.token_calls():
            time.sleep(0.005)
        began = time.monotonic()
        provider.stop()
        waiting.join(5)
        assert failed.is_set()
        assert time.monotonic() - began < 2
