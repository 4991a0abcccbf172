"""Connections are shared, verified, and carry nothing that they should not."""

from __future__ import annotations

import logging
import os
import re
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest

from mail_oauth.exceptions import ConfigurationError, TransportError
from mail_oauth.tokens import Secret
from mail_oauth.transport import TokenEndpoint, fetch_json, mail_context, post_form
from mail_oauth.transport.pool import pool
from tests.transport.tunnel import Tunnel
from tests.wire import Wire


def endpoint_at(url: str, client: str = "client") -> TokenEndpoint:
    return TokenEndpoint(url=url, client_id=client, client_secret=Secret("client-secret"))


FOLDER = object()
"""Stands for a folder where a file could be."""


class TestAConnection:
    def test_is_reused_across_calls_clients_and_mailboxes(self, wire):
        for number in range(10):
            endpoint_at(wire.url, f"client {number % 3}").refresh(Secret(f"refresh token {number}"))
        fetch_json(wire.url)
        post_form(wire.url, {"token": "x"})
        assert (len(wire.requests), wire.connections) == (12, 1)

    def test_is_reused_across_threads(self, wire):
        for _ in range(5):
            with ThreadPoolExecutor(1) as threads:
                threads.submit(fetch_json, wire.url).result()
        assert (len(wire.requests), wire.connections) == (5, 1)

    def test_is_reused_after_errors_and_redirects(self, wire):
        for status in (400, 500, 302, 200):
            wire.status = status
            fetch_json(wire.url)
        assert wire.connections == 1

    def test_that_the_server_closed_meanwhile_costs_nothing(self, wire):
        wire.headers = {"Connection": "close"}
        for _ in range(3):
            assert fetch_json(wire.url).status == 200
        assert wire.connections == 3

    def test_is_not_shared_with_a_forked_child(self, wire):
        fetch_json(wire.url)
        parents = pool()
        pid = os.fork()
        if pid == 0:
            good = pool() is not parents and fetch_json(wire.url).status == 200
            os._exit(0 if good else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert fetch_json(wire.url).status == 200
        assert wire.connections == 2

    def test_pool_is_made_anew_when_settings_change(self, quick, settings):
        before = pool()
        assert pool() is before
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "READ_TIMEOUT": 3}
        assert pool() is not before


class TestTLS:
    @pytest.fixture
    def trusting(self, quick, settings, authority) -> None:
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "CA_BUNDLE": str(authority.bundle)}

    def test_with_a_certificate_that_is_trusted(self, trusting, authority):
        with Wire(authority.context()) as notes:
            for _ in range(3):
                assert endpoint_at(notes.url).refresh(Secret("x")).status == 200
            assert (len(notes.requests), notes.connections) == (3, 1)

    @pytest.mark.parametrize(
        "how",
        [{"self_signed": True}, {"host": "other.example"}, {"days": -1}],
        ids=["self-signed", "another host", "expired"],
    )
    def test_with_any_other_sends_nothing(self, trusting, authority, how):
        with Wire(authority.context(**how)) as notes:
            with pytest.raises(TransportError) as raised:
                endpoint_at(notes.url).refresh(Secret("x"))
            assert (raised.value.cause, raised.value.outcome_unknown) == ("tls", False)
            assert notes.requests == []

    def test_does_not_trust_a_stranger_by_default(self, quick, authority):
        with Wire(authority.context()) as notes, pytest.raises(TransportError, match="tls"):
            fetch_json(notes.url)

    def test_trusts_the_bundle_of_the_environment(self, quick, settings, authority, monkeypatch):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.bundle))
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH}
        with Wire(authority.context()) as notes:
            assert fetch_json(notes.url).status == 200

    @pytest.mark.parametrize("source", ['MAIL_OAUTH["CA_BUNDLE"]', "REQUESTS_CA_BUNDLE"])
    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (None, "cannot be read (No such file or directory)"),
            ("", "holds no certificate"),
            ("-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n", "holds no certificate"),
            (FOLDER, "holds no certificate"),
        ],
        ids=["no file", "empty", "no certificate", "an empty folder"],
    )
    def test_says_which_bundle_cannot_be_read(self, quick, settings, tmp_path, monkeypatch, source, content, why):
        bundle = tmp_path / "company.pem"
        if content is FOLDER:
            bundle.mkdir()
        elif content is not None:
            bundle.write_text(content)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
        ours = {"CA_BUNDLE": str(bundle)} if "MAIL_OAUTH" in source else {}
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, **ours}
        with Wire() as notes:
            for call in (lambda: fetch_json(notes.url), mail_context):
                with pytest.raises(ConfigurationError) as raised:
                    call()
                assert f"{source} is {str(bundle)!r}, which {why}" in str(raised.value)
            assert notes.requests == []

    def test_does_not_fall_back_to_plain_text(self, quick):
        with Wire() as notes:
            with pytest.raises(TransportError, match="tls"):
                endpoint_at(notes.url.replace("http:", "https:")).refresh(Secret("canary"))
            assert notes.requests == []


class TestNothingLeaks:
    def test_cookies_are_not_kept(self, wire):
        wire.headers = {"Set-Cookie": "session=1; Path=/"}
        fetch_json(wire.url)
        endpoint_at(wire.url).refresh(Secret("x"))
        post_form(wire.url, {})
        assert not [request for request in wire.requests if "cookie" in request.headers]

    def test_a_bearer_token_goes_to_its_own_call_only(self, wire):
        fetch_json(wire.url, bearer=Secret("canary"))
        fetch_json(wire.url)
        endpoint_at(wire.url).refresh(Secret("x"))
        assert [request.headers.get("authorization") for request in wire.requests] == ["Bearer canary", None, None]

    def test_neither_netrc_nor_the_environment_adds_credentials(self, wire, tmp_path, monkeypatch):
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login ada password secret\n")
        monkeypatch.setenv("NETRC", str(netrc))
        endpoint_at(wire.url).refresh(Secret("x"))
        fetch_json(wire.url)
        assert not [request for request in wire.requests if "authorization" in request.headers]

    def test_a_scope_of_one_refresh_does_not_stick_to_the_next(self, wire):
        endpoint_at(wire.url).refresh(Secret("x"), scope="a b")
        endpoint_at(wire.url).refresh(Secret("x"))
        assert ["scope=" in request.body for request in wire.requests] == [True, False]

    @pytest.mark.parametrize("client_auth", ["post", "basic", "none"])
    def test_debug_logs_hold_no_secret(self, wire, caplog, client_auth):
        caplog.set_level(logging.DEBUG)
        wire.body = b'{"access_token": "canary-access", "refresh_token": "canary-refresh"}'
        wire.headers = {"X-Echo": "canary-header"}
        endpoint = TokenEndpoint(
            url=wire.url, client_id="client", client_secret=Secret("canary-secret"), client_auth=client_auth
        )
        endpoint.redeem(
            Secret("canary-code"),
            redirect_uri="https://mail.example/",
            code_verifier=Secret("canary-verifier" * 4),
        )
        endpoint.refresh(Secret("canary-old-refresh"))
        endpoint.revoke(wire.url, Secret("canary-revoked"))
        fetch_json(wire.url, bearer=Secret("canary-bearer"))
        assert caplog.records, "the libraries do speak"
        everything = caplog.text + "".join(str(vars(record)) for record in caplog.records)
        assert "canary" not in everything
        assert "Y2FuYXJ5" not in everything, "nor in base64"


class TestAProxy:
    def test_of_the_settings_is_used(self, quick, settings, monkeypatch):
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with Wire() as proxy:
            settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROXY": proxy.url.removesuffix("/token")}
            assert fetch_json("http://127.0.0.1:9/through").status == 200
            assert [request.path for request in proxy.requests] == ["/through"]

    def test_of_the_environment_is_read_once(self, quick, settings, monkeypatch):
        with Wire() as proxy, Wire() as target:
            monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/token"))
            monkeypatch.delenv("NO_PROXY", raising=False)
            monkeypatch.delenv("no_proxy", raising=False)
            settings.MAIL_OAUTH = {**settings.MAIL_OAUTH}
            fetch_json(target.url)
            monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
            fetch_json(target.url)
            assert (len(proxy.requests), len(target.requests)) == (2, 0)

    def test_that_is_away_is_told_from_a_provider_that_is(self, quick, settings):
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROXY": "http://127.0.0.1:9"}
        with pytest.raises(TransportError) as raised:
            fetch_json("http://127.0.0.1:10/")
        assert (raised.value.cause, raised.value.outcome_unknown) == ("proxy", False)

    def test_is_told_who_asks_and_the_provider_is_not(self, quick, settings):
        with Wire() as proxy:
            address = proxy.url.removeprefix("http://").removesuffix("/token")
            settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROXY": f"http://ada:pass%20word@{address}"}
            post_form("http://127.0.0.1:9/through?x=y", {})
            (request,) = proxy.requests
            assert request.headers["proxy-authorization"] == "Basic YWRhOnBhc3Mgd29yZA=="
            assert (request.path, request.query, request.headers["host"]) == ("/through", "x=y", "127.0.0.1:9")

    def test_tunnels_to_a_provider_that_speaks_tls_to_us(self, quick, settings, authority):
        with Wire(authority.context()) as provider, Tunnel() as proxy:
            settings.MAIL_OAUTH = {
                **settings.MAIL_OAUTH,
                "PROXY": f"ada:secret@{proxy.address}",
                "CA_BUNDLE": str(authority.bundle),
            }
            for _ in range(3):
                assert endpoint_at(provider.url).refresh(Secret("x")).status == 200
            host = provider.url.split("/")[2]
            assert proxy.asked == [(host, "Basic YWRhOnNlY3JldA==")]
            assert (provider.connections, len(provider.requests)) == (1, 3)
            assert {request.headers["host"] for request in provider.requests} == {host}
            assert not [request for request in provider.requests if "proxy-authorization" in request.headers]

    def test_that_refuses_a_tunnel_has_let_nothing_through(self, quick, settings):
        with Wire() as provider, Tunnel(status=407) as proxy:
            settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROXY": f"http://{proxy.address}"}
            with pytest.raises(TransportError) as raised:
                endpoint_at(provider.url.replace("http:", "https:")).refresh(Secret("x"))
            assert (raised.value.cause, raised.value.outcome_unknown) == ("proxy", False)

    @pytest.mark.parametrize(
        ("url", "says"),
        [
            ("socks5://ada:s3cr3t@127.0.0.1:9", "has the scheme 'socks5', which is not supported"),
            ("nonsense://ada:s3cr3t@127.0.0.1:9", "has the scheme 'nonsense'"),
            ("http://ada:s3cr3t@[127.0.0.1:9", "is no URL"),
            ("http://ada:s3cr3t@127.0.0.1:port", "is no URL"),
            ("http:///s3cr3t", "names no host"),
        ],
    )
    @pytest.mark.parametrize("source", ["setting", "environment"])
    def test_that_cannot_be_used_is_a_mistake_of_the_settings(
        self, quick, settings, monkeypatch, url, says, source
    ):
        """Not an outage, and nothing is said to be spent. The URL is shown nowhere, for it may hold a password."""
        names = {"setting": 'MAIL_OAUTH["PROXY"]', "environment": "proxy of the environment"}
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", url if source == "environment" else "")
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROXY": url if source == "setting" else ""}
        with pytest.raises(ConfigurationError, match=re.escape(says)) as raised:
            fetch_json("http://127.0.0.1:10/")
        shown = traceback.TracebackException.from_exception(raised.value, capture_locals=True)
        assert names[source] in str(raised.value)
        assert "s3cr3t" not in "".join(shown.format(chain=True)).replace(f"url = '{url}'", "")

    def test_is_left_out_where_the_environment_says_so(self, quick, settings, monkeypatch):
        with Wire() as target:
            monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            settings.MAIL_OAUTH = {**settings.MAIL_OAUTH}
            assert fetch_json(target.url).status == 200


@pytest.mark.parametrize(
    ("client_auth", "secret", "header", "fields"),
    [
        ("post", "s", None, {"client_id", "client_secret"}),
        ("post", None, None, {"client_id"}),
        ("none", "s", None, {"client_id"}),
        ("basic", "s:+ä", "Basic YyUzQSUyRmlkOnMlM0ElMkIlQzMlQTQ=", set()),
    ],
)
def test_how_a_client_shows_who_it_is(wire, client_auth, secret, header, fields):
    from urllib.parse import parse_qs

    endpoint = TokenEndpoint(
        url=wire.url,
        client_id="c:/id",
        client_secret=Secret(secret) if secret else None,
        client_auth=client_auth,
    )
    endpoint.refresh(Secret("x"))
    endpoint.redeem(Secret("x"), redirect_uri="https://mail.example/", code_verifier=None)
    endpoint.revoke(wire.url, Secret("x"))
    for request in wire.requests:
        assert request.headers.get("authorization") == header
        assert {name for name in parse_qs(request.body) if name.startswith("client_")} == fields
