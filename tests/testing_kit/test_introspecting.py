"""What a mail server learns of a token (RFC 7662)."""

import time

import pytest

from mail_oauth.testing.faults import Fault
from mail_oauth.testing.personalities import PERSONALITIES

each_personality = pytest.mark.parametrize("personality", PERSONALITIES)


@pytest.fixture
def introspect(provider, http):
    """Asks the provider about a token, as a mail server would."""

    def ask(token, personality="microsoft", secret=provider.client_secret):
        url = provider.urls(personality)["introspect"]
        return http.post(url, data={"token": token}, auth=(provider.client_id, secret))

    return ask


@each_personality
class TestAToken:
    def test_is_active_for_its_mailbox_and_scopes(self, provider, introspect, personality):
        granted = provider.grant("Ada@example.com", personality=personality)
        reply = introspect(granted["access_token"], personality)
        told = reply.json()
        assert (reply.status_code, told["active"], told["username"]) == (200, True, "ada@example.com")
        assert told["scope"].split() == list(PERSONALITIES[personality].default_scopes)
        assert 0 < told["exp"] - time.time() <= provider.policy.access_token_seconds

    @pytest.mark.parametrize("end", ["expire_access_tokens", "revoke"])
    def test_is_inactive_once_it_has_ended(self, provider, introspect, personality, end):
        token = provider.grant("ada@example.com", personality=personality)["access_token"]
        getattr(provider, end)("ada@example.com")
        reply = introspect(token, personality)
        assert (reply.status_code, reply.json()) == (200, {"active": False})

    def test_is_inactive_after_its_time(self, provider, introspect, personality):
        provider.configure(access_token_seconds=0)
        token = provider.grant("ada@example.com", personality=personality)["access_token"]
        assert introspect(token, personality).json() == {"active": False}


@pytest.mark.parametrize("kind", ["unknown", "refresh token", "of another personality"])
def test_what_is_no_access_token_of_this_personality_is_inactive(provider, introspect, kind):
    token = {
        "unknown": "never-issued",
        "refresh token": provider.grant("ada@example.com")["refresh_token"],
        "of another personality": provider.grant("ada@example.com", personality="oidc")["access_token"],
    }[kind]
    assert introspect(token).json() == {"active": False}


@each_personality
def test_only_a_client_with_its_secret_is_told(provider, introspect, http, personality):
    token = provider.grant("ada@example.com", personality=personality)["access_token"]
    anonymous = http.post(provider.urls(personality)["introspect"], data={"token": token})
    for reply in (anonymous, introspect(token, personality, secret="wrong")):
        assert (reply.status_code, reply.json()["error"]) == (401, "invalid_client")


def test_each_question_is_counted_with_whose_token_it_was(provider, introspect):
    introspect(provider.grant("ada@example.com")["access_token"])
    call = provider.calls[-1]
    assert (call.endpoint, call.email, call.status) == ("introspect", "ada@example.com", 200)


def test_faults_strike_it_as_any_other_endpoint(provider, introspect):
    token = provider.grant("ada@example.com")["access_token"]
    with provider.fault(Fault.html(503), endpoint="introspect"):
        assert introspect(token).status_code == 503
    assert introspect(token).json()["active"] is True
