"""Refresh tokens: rotation, single use, reuse detection, revocation, and many at once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from requests_oauthlib import OAuth2Session

from mail_oauth.testing.personalities import PERSONALITIES
from mail_oauth.testing.provider import FakeProvider
from tests.testing_kit.client import REDIRECT_URI, Application

IMAP = "https://outlook.office.com/IMAP.AccessAsUser.All"
ROTATING = ["microsoft", "oidc", "plain"]
EVERY_PERSONALITY = [*ROTATING, "google"]


@pytest.fixture
def made(http):
    """Makes providers with settings of the test's choice, and stops them."""
    running = []

    def make(**settings):
        provider = FakeProvider(**settings).start()
        running.append(provider)
        return provider, Application(provider, http)

    yield make
    for provider in running:
        provider.stop()


class TestRotation:
    @pytest.mark.parametrize("personality", ROTATING)
    def test_gives_a_new_token_and_kills_the_old_one(self, provider, application, personality):
        old = provider.grant("ada@example.com", personality)["refresh_token"]
        new = application.refresh(old, personality).json()["refresh_token"]
        assert new != old
        assert provider.newest_refresh_token("ada@example.com", personality) == new
        assert provider.is_current_refresh_token(new)
        assert not provider.is_current_refresh_token(old)
        assert application.refresh(new, personality).status_code == 200

    @pytest.mark.parametrize("personality", ROTATING)
    def test_kills_the_family_when_an_old_token_comes_back(self, provider, application, personality):
        old = provider.grant("ada@example.com", personality)["refresh_token"]
        new = application.refresh(old, personality).json()
        other = provider.grant("ada@example.com", personality)["refresh_token"]
        assert application.refresh(old, personality).json()["error"] == "invalid_grant"
        assert application.refresh(new["refresh_token"], personality).json()["error"] == "invalid_grant"
        assert not provider.is_valid_access_token(new["access_token"])
        assert application.refresh(other, personality).status_code == 200, "another grant is another family"

    def test_without_reuse_detection_refuses_only_the_old_token(self, made):
        provider, application = made(detect_reuse=False)
        old = provider.grant("ada@example.com")["refresh_token"]
        new = application.refresh(old).json()["refresh_token"]
        assert application.refresh(old).json()["error"] == "invalid_grant"
        assert application.refresh(new).status_code == 200

    def test_can_leave_the_old_token_a_time_of_grace(self, made):
        now = [1_900_000_000.0]
        provider, application = made(reuse_grace_seconds=10, clock=lambda: now[0])
        old = provider.grant("ada@example.com")["refresh_token"]
        assert application.refresh(old).status_code == 200
        now[0] += 9
        assert application.refresh(old).status_code == 200
        now[0] += 1
        assert application.refresh(old).json()["error"] == "invalid_grant"

    @pytest.mark.parametrize(("personality", "renews"), [("microsoft", True), ("oidc", False), ("plain", False)])
    def test_switched_off_leaves_the_old_token_alive(self, made, personality, renews):
        provider, application = made(rotate=False)
        old = provider.grant("ada@example.com", personality)["refresh_token"]
        new = application.refresh(old, personality).json()["refresh_token"]
        assert (new != old) is renews
        assert application.refresh(old, personality).status_code == 200
        assert application.refresh(new, personality).status_code == 200

    def test_at_google_is_off_unless_asked_for(self, made):
        provider, application = made()
        token = provider.grant("ada@example.com", "google")["refresh_token"]
        assert "refresh_token" not in application.refresh(token, "google").json()
        assert application.refresh(token, "google").status_code == 200
        provider.configure(rotate_google=True)
        assert application.refresh(token, "google").json()["refresh_token"] != token
        assert application.refresh(token, "google").json()["error"] == "invalid_grant"


class TestARefresh:
    @pytest.mark.parametrize("personality", EVERY_PERSONALITY)
    def test_gives_an_access_token_that_is_valid_until_it_expires(self, made, personality):
        now = [1_900_000_000.0]
        provider, application = made(access_token_seconds=120, clock=lambda: now[0])
        granted = provider.grant("ada@example.com", personality)
        reply = application.refresh(granted["refresh_token"], personality).json()
        assert reply["expires_in"] == 120
        info = provider.access_info(reply["access_token"])
        assert (info.email, info.personality, info.expires_at) == ("ada@example.com", personality, now[0] + 120)
        now[0] += 120
        assert not provider.is_valid_access_token(reply["access_token"])

    @pytest.mark.parametrize("personality", EVERY_PERSONALITY)
    def test_is_refused_after_the_grant_was_revoked(self, provider, application, personality):
        token = provider.grant("ada@example.com", personality)["refresh_token"]
        provider.revoke("ada@example.com")
        reply = application.refresh(token, personality)
        assert (reply.status_code, reply.json()["error"]) == (400, "invalid_grant")
        assert provider.living_grants("ada@example.com") == 0

    @pytest.mark.parametrize(
        ("changes", "status", "error", "code"),
        [
            ({"client_secret": "wrong-secret"}, 401, "invalid_client", 7000215),
            ({"client_secret": None}, 401, "invalid_client", 7000218),
            ({"client_id": "nobody"}, 401, "invalid_client", 700016),
            ({"scope": f"{IMAP} User.Read"}, 400, "invalid_grant", 65001),
            ({"refresh_token": "made-up"}, 400, "invalid_grant", 70000),
            ({"refresh_token": None}, 400, "invalid_request", 900144),
            ({"grant_type": "magic"}, 400, "unsupported_grant_type", 70003),
        ],
    )
    def test_at_microsoft_is_refused_in_microsofts_words(
        self, provider, application, changes, status, error, code
    ):
        token = provider.grant("ada@example.com")["refresh_token"]
        reply = application.token(**{"grant_type": "refresh_token", "refresh_token": token, **changes})
        body = reply.json()
        assert (reply.status_code, body["error"], body["error_codes"]) == (status, error, [code])
        assert body["error_description"].startswith(f"AADSTS{code}: ")
        assert {"trace_id", "correlation_id", "timestamp"} <= body.keys()
        assert token not in reply.text

    def test_belongs_to_its_client_and_personality(self, provider, application):
        provider.add_client("other", "other-secret")
        token = provider.grant("ada@example.com", "oidc")["refresh_token"]
        other = {"client_id": "other", "client_secret": "other-secret"}
        assert application.refresh(token, "oidc", **other).json()["error"] == "invalid_grant"
        assert application.refresh(token, "plain").json()["error"] == "invalid_grant"
        assert application.refresh(token, "oidc").status_code == 200

    def test_can_narrow_the_scope_of_the_access_token_only(self, provider, application):
        token = provider.grant("ada@example.com", "oidc", scope="mail calendar offline_access")["refresh_token"]
        narrow = application.refresh(token, "oidc", scope="mail").json()
        assert narrow["scope"] == "mail"
        wide = application.refresh(narrow["refresh_token"], "oidc").json()
        assert wide["scope"] == "mail calendar offline_access"
        beyond = application.refresh(wide["refresh_token"], "oidc", scope="mail contacts").json()
        assert beyond["error"] == "invalid_scope"

    def test_must_be_a_post_with_its_parameters_in_the_body(self, provider, http):
        token_url = provider.urls("oidc")["token"]
        assert http.get(token_url).status_code == 405
        assert http.post(f"{token_url}?grant_type=refresh_token").json()["error"] == "invalid_request"
        assert http.post(token_url, data=b"\x00%%%").json()["error"] == "invalid_request"

    def test_survives_a_changed_client_secret_that_was_configured(self, provider, application):
        token = provider.grant("ada@example.com")["refresh_token"]
        provider.add_client(provider.client_id, "the-second-secret")
        assert application.refresh(token).json()["error_codes"] == [7000215]
        assert application.refresh(token, client_secret="the-second-secret").status_code == 200


class TestManyAtOnce:
    def test_of_64_that_spend_one_token_exactly_one_wins(self, provider, application):
        token = provider.grant("ada@example.com")["refresh_token"]
        barrier = threading.Barrier(64)

        def refresh():
            barrier.wait(10)
            return application.refresh(token).status_code

        with ThreadPoolExecutor(64) as pool:
            statuses = [each.result() for each in [pool.submit(refresh) for _ in range(64)]]
        assert sorted(statuses) == [200] + [400] * 63
        assert len(provider.token_calls("refresh_token", status=200)) == 1

    def test_64_tokens_of_one_account_are_refreshed_side_by_side(self, provider, application):
        tokens = [provider.grant("ada@example.com", "plain")["refresh_token"] for _ in range(64)]

        def refresh(token):
            return application.refresh(token, "plain").json()["refresh_token"]

        with ThreadPoolExecutor(64) as pool:
            fresh = set(pool.map(refresh, tokens))
        assert len(fresh) == 64
        assert all(provider.is_current_refresh_token(each) for each in fresh)

    def test_a_connection_serves_many_requests(self, provider):
        token = provider.grant("ada@example.com", "plain")["refresh_token"]
        with requests.Session() as session:
            for _ in range(20):
                reply = Application(provider, session).refresh(token, "plain")
                token = reply.json()["refresh_token"]
            pools = session.get_adapter(provider.url).poolmanager.pools
            assert [pools[key].num_connections for key in pools.keys()] == [1]  # noqa: SIM118 - no mapping


class TestRevocation:
    def test_kills_the_grant_of_a_refresh_or_an_access_token(self, provider, application, http):
        client = {"client_id": provider.client_id, "client_secret": provider.client_secret}
        for kind in ("refresh_token", "access_token"):
            granted = provider.grant("ada@example.com", "oidc")
            kept = provider.grant("ada@example.com", "oidc")
            reply = http.post(provider.urls("oidc")["revoke"], data={"token": granted[kind], **client})
            assert reply.status_code == 200
            assert application.refresh(granted["refresh_token"], "oidc").json()["error"] == "invalid_grant"
            assert application.refresh(kept["refresh_token"], "oidc").status_code == 200

    @pytest.mark.parametrize("personality", ["google", "oidc", "plain"])
    def test_of_an_unknown_token_is_no_error(self, provider, http, personality):
        client = {"client_id": provider.client_id, "client_secret": provider.client_secret}
        reply = http.post(provider.urls(personality)["revoke"], data={"token": "never-issued", **client})
        assert reply.status_code == 200

    def test_needs_the_client_whose_token_it_is(self, provider, application, http):
        provider.add_client("other", "other-secret")
        token = provider.grant("ada@example.com", "oidc")["refresh_token"]
        url = provider.urls("oidc")["revoke"]
        assert http.post(url, data={"token": token}).status_code == 401
        foreign = {"token": token, "client_id": "other", "client_secret": "other-secret"}
        assert http.post(url, data=foreign).status_code == 200
        assert application.refresh(token, "oidc").status_code == 200

    def test_at_google_needs_no_client_and_ends_all_the_accounts_grants(self, provider, application, http):
        provider.add_client("phone-app", "phone-secret")
        first = provider.grant("ada@example.com", "google")["refresh_token"]
        provider.grant("ada@example.com", "google", client_id="phone-app")
        provider.grant("bob@example.com", "google")
        provider.grant("ada@example.com", "oidc")
        assert http.post(provider.urls("google")["revoke"], data={"token": first}).status_code == 200
        assert provider.living_grants("ada@example.com", "google") == 0
        assert provider.living_grants("bob@example.com", "google") == 1
        assert provider.living_grants("ada@example.com", "oidc") == 1
        assert application.refresh(first, "google").json()["error"] == "invalid_grant"

    def test_is_not_offered_by_microsoft(self, provider, http):
        assert "revoke" not in provider.urls("microsoft")
        assert "revocation_endpoint" not in http.get(provider.urls("microsoft")["discovery"]).json()


class TestTheFieldsClientLibrary:
    @pytest.mark.parametrize("personality", EVERY_PERSONALITY)
    def test_accepts_every_reply(self, provider, monkeypatch, personality):
        monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")  # the client side refuses plain http
        monkeypatch.setenv("OAUTHLIB_RELAX_TOKEN_SCOPE", "1")  # Microsoft and Google reword the scope
        urls = provider.urls(personality)
        scope = list(PERSONALITIES[personality].default_scopes)
        with OAuth2Session(provider.client_id, redirect_uri=REDIRECT_URI, scope=scope, pkce="S256") as session:
            url, _state = session.authorization_url(urls["authorize"], access_type="offline")
            callback = provider.authorize(url).replace("http://", "https://")
            secret = {"client_secret": provider.client_secret}
            first = session.fetch_token(
                urls["token"], authorization_response=callback, include_client_id=True, **secret
            )
            second = session.refresh_token(
                urls["token"], first["refresh_token"], client_id=provider.client_id, **secret
            )
        assert provider.is_valid_access_token(second["access_token"], "ada@example.com")
