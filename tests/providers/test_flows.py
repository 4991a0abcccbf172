"""The whole way against a real provider: consent, redeem, identity, refresh, revoke."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from mail_oauth.exceptions import ConfigurationError, ConnectRefused, TransportError
from mail_oauth.providers import provider_for
from mail_oauth.refresh.classification import Action
from mail_oauth.refresh.verdicts import judge
from mail_oauth.testing.faults import Fault
from mail_oauth.tokens import Secret, TokenSet

CALLBACK = "http://testserver/mail/callback/"
VERIFIER, NONCE = Secret("v" * 64), "the-nonce"
PERSONALITIES = {"microsoft": "microsoft", "google": "google", "keycloak": "oidc", "plain": "plain"}
NAMING = ["microsoft", "google", "keycloak"]


def consent(provider, alias: str, email: str = "ada@corp.example") -> TokenSet:
    """Walk through the consent page and redeem the code."""
    work = provider_for(alias)
    url = work.authorization_url(
        redirect_uri=CALLBACK, state="s" * 32, nonce=NONCE, code_verifier=VERIFIER.reveal()
    )
    answer = {name: values[0] for name, values in parse_qs(urlsplit(provider.authorize(url, email)).query).items()}
    work.check_callback_issuer(answer.get("iss"))
    reply = work.token_endpoint().redeem(Secret(answer["code"]), redirect_uri=CALLBACK, code_verifier=VERIFIER)
    tokens = judge(reply, family=work.error_family).tokens
    assert tokens is not None
    return tokens


@pytest.mark.parametrize("alias", PERSONALITIES)
class TestTheWholeWay:
    def test_a_grant_is_refreshed(self, provider, alias):
        work = provider_for(alias)
        tokens = consent(provider, alias)
        assert work.missing_scopes(tokens.scopes, work.requested_scopes) == ()
        scope = work.refresh_scope(" ".join(work.requested_scopes))
        again = judge(work.token_endpoint().refresh(tokens.refresh_token, scope=scope)).tokens
        assert again.access_token != tokens.access_token
        assert provider.is_valid_access_token(again.access_token.reveal(), "ada@corp.example")

    def test_a_grant_is_revoked(self, provider, alias):
        work = provider_for(alias)
        tokens = consent(provider, alias)
        if not work.revocation_url():
            assert alias == "microsoft"
            return
        assert work.token_endpoint().revoke(work.revocation_url(), tokens.refresh_token).status == 200
        assert work.token_endpoint().revoke(work.revocation_url(), tokens.refresh_token).status == 200
        verdict = judge(work.token_endpoint().refresh(tokens.refresh_token), family=work.error_family)
        assert verdict.action is Action.REAUTH

    def test_a_wrong_verifier_brings_no_tokens(self, provider, alias):
        work = provider_for(alias)
        url = work.authorization_url(
            redirect_uri=CALLBACK, state="s" * 32, nonce=NONCE, code_verifier=VERIFIER.reveal()
        )
        code = parse_qs(urlsplit(provider.authorize(url, "ada@corp.example")).query)["code"][0]
        reply = work.token_endpoint().redeem(Secret(code), redirect_uri=CALLBACK, code_verifier=Secret("w" * 64))
        assert judge(reply).action is Action.REAUTH


class TestIdentity:
    @pytest.mark.parametrize("alias", NAMING)
    def test_is_that_of_the_account(self, provider, alias):
        tokens = consent(provider, alias)
        identity = provider_for(alias).identity(tokens, nonce=NONCE)
        claims = provider.claims_of("ada@corp.example", PERSONALITIES[alias])
        expected = f"{claims['tid']}/{claims['oid']}" if alias == "microsoft" else claims["sub"]
        assert identity.subject == expected
        assert identity.email == "ada@corp.example"
        assert identity.email_verified is (alias != "microsoft")
        assert identity.issuer.startswith(provider.url)

    def test_of_an_organisation_names_it(self, provider):
        identity = provider_for("google").identity(consent(provider, "google"), nonce=NONCE)
        assert identity.tenant == "corp.example"

    def test_is_empty_where_nobody_is_named(self, provider):
        assert not provider_for("plain").identity(consent(provider, "plain"), nonce=NONCE).subject

    @pytest.mark.parametrize("alias", NAMING)
    def test_stays_while_the_address_changes(self, provider, alias):
        account = provider.add_account("old@corp.example")
        before = provider_for(alias).identity(consent(provider, alias, "old@corp.example"), nonce=NONCE)
        provider.add_account("new@corp.example", subject=account.subject, tenant=account.tenant)
        after = provider_for(alias).identity(consent(provider, alias, "new@corp.example"), nonce=NONCE)
        assert (before.issuer, before.subject) == (after.issuer, after.subject)
        assert (before.email, after.email) == ("old@corp.example", "new@corp.example")

    def test_takes_a_missing_address_from_userinfo(self, provider):
        provider.fail_next(1, provider.id_token_fault({"email": None}))
        tokens = consent(provider, "keycloak")
        identity = provider_for("keycloak").identity(tokens, nonce=NONCE)
        assert identity.email == "ada@corp.example"

    def test_does_not_believe_the_userinfo_of_somebody_else(self, provider):
        provider.fail_next(1, provider.id_token_fault({"email": None}))
        tokens = consent(provider, "keycloak")
        other = Fault.json_value({"sub": "somebody else", "email": "eve@evil.example"})
        with provider.fault(other, endpoint="userinfo"):
            assert provider_for("keycloak").identity(tokens, nonce=NONCE).email == ""


NOT_OURS = {
    "another nonce": {"nonce": "another"},
    "no nonce": {"nonce": None},
    "another audience": {"aud": "another-client"},
    "no audience": {"aud": None},
    "another party": {"azp": "another-client"},
    "another issuer": {"iss": "https://evil.example"},
    "no issuer": {"iss": None},
    "expired": {"exp": 1000},
    "no expiry": {"exp": None},
    "expiry that is no number": {"exp": "tomorrow"},
    "expiry beyond time": {"exp": float("inf")},
    "from the future": {"iat": 99999999999},
    "no time of issue": {"iat": None},
    "not yet": {"nbf": 99999999999},
    "no subject": {"sub": None},
}


class TestAnIdToken:
    def refuse(self, provider, fault: Fault, alias: str = "keycloak") -> None:
        provider.fail_next(1, fault)
        tokens = consent(provider, alias)
        with pytest.raises(ConnectRefused, match=r"."):
            provider_for(alias).identity(tokens, nonce=NONCE)

    @pytest.mark.parametrize("claims", NOT_OURS.values(), ids=NOT_OURS)
    @pytest.mark.parametrize("alias", NAMING)
    def test_that_is_not_for_us_now_is_refused(self, provider, claims, alias):
        self.refuse(provider, provider.id_token_fault(claims), alias)

    @pytest.mark.parametrize("algorithm", ["none", "HS256"])
    def test_of_a_weak_algorithm_is_refused(self, provider, algorithm):
        self.refuse(provider, provider.id_token_fault(algorithm=algorithm))

    def test_of_a_strong_one_is_taken(self, provider):
        provider.fail_next(1, provider.id_token_fault(algorithm="PS256"))
        assert provider_for("keycloak").identity(consent(provider, "keycloak"), nonce=NONCE).subject

    @pytest.mark.parametrize("header", [{"crit": ["x"], "x": 1}, {"crit": []}, {"kid": "unknown"}])
    def test_with_an_odd_header_is_refused(self, provider, header):
        self.refuse(provider, provider.id_token_fault(headers=header))

    @pytest.mark.parametrize("token", ["", "x", "a.b.c", "é", "." * 1000, "e30.e30.", None, 5])
    def test_that_is_none_is_refused(self, provider, token):
        self.refuse(provider, Fault.reply_with(id_token=token))

    def test_that_is_absent_is_refused(self, provider):
        self.refuse(provider, Fault.reply_without("id_token"))

    def test_whose_header_is_a_depth_bomb_is_refused(self, provider):
        import base64

        bomb = base64.urlsafe_b64encode(b"[" * 40_000).decode()
        self.refuse(provider, Fault.reply_with(id_token=f"{bomb}.e30.e30"))

    def test_that_is_huge_is_refused(self, provider):
        self.refuse(provider, Fault.reply_with(id_token="x" * 100_000))
        with pytest.raises(ConnectRefused, match="too large"):
            provider_for("keycloak").identity(
                TokenSet(access_token=Secret("x"), expires_in=1, id_token=Secret("x" * 50 * 1024 * 1024)),
                nonce=NONCE,
            )

    def test_of_somebody_elses_tenant_is_refused(self, provider):
        self.refuse(provider, provider.id_token_fault({"tid": "another"}), "microsoft")

    def test_within_two_minutes_of_its_time_is_taken(self, provider):
        import time

        provider.fail_next(1, provider.id_token_fault({"exp": int(time.time()) - 60}))
        assert provider_for("keycloak").identity(consent(provider, "keycloak"), nonce=NONCE).subject

    def test_signed_by_a_new_key_makes_the_set_be_fetched_anew_once_a_minute(self, provider):
        assert provider_for("keycloak").identity(consent(provider, "keycloak"), nonce=NONCE)
        provider.rotate_signing_key()
        assert provider_for("keycloak").identity(consent(provider, "keycloak"), nonce=NONCE).subject
        provider.rotate_signing_key()
        with pytest.raises(ConnectRefused):
            provider_for("keycloak").identity(consent(provider, "keycloak"), nonce=NONCE)

    def test_does_not_make_the_keys_be_fetched_each_time(self, provider):
        provider.clear_calls()
        for _ in range(3):
            provider_for("keycloak").identity(consent(provider, "keycloak"), nonce=NONCE)
        assert sum(call.endpoint in {"jwks", "discovery"} for call in provider.calls) <= 2

    @pytest.mark.parametrize(
        "fault", [Fault.html(), Fault.json_value([]), Fault.json_value({}), Fault.json_value({"keys": 5})]
    )
    def test_cannot_be_judged_without_keys(self, provider, fault):
        tokens = consent(provider, "keycloak")
        with provider.fault(fault, endpoint="jwks"), pytest.raises((TransportError, ConnectRefused)):
            provider_for("keycloak").identity(tokens, nonce=NONCE)


class TestDiscovery:
    def test_gives_every_endpoint(self, provider):
        work, urls = provider_for("keycloak"), provider.urls("oidc")
        found = {
            name: work.setting(f"{name.upper()}_URL") for name in ("authorize", "token", "revoke", "userinfo")
        }
        assert found == {name: urls[name] for name in found}
        assert work.setting("JWKS_URL") == urls["jwks"]
        assert work.expects_issuer()

    def test_of_another_issuer_is_refused(self, provider):
        evil = Fault.json_value({"issuer": "https://evil.example"})
        with provider.fault(evil, endpoint="discovery"), pytest.raises(ConfigurationError, match="another issuer"):
            provider_for("keycloak").token_endpoint()

    @pytest.mark.parametrize(
        "fault", [Fault.html(503), Fault.empty(), Fault.json_value([1]), Fault.deep_json(500_000)]
    )
    def test_that_is_away_is_a_passing_fault(self, provider, fault):
        with provider.fault(fault, endpoint="discovery"), pytest.raises(TransportError):
            provider_for("keycloak").token_endpoint()
        assert provider_for("keycloak").token_endpoint()

    def test_that_names_a_private_endpoint_is_refused(self, provider):
        issuer = provider.urls("oidc")["issuer"]
        evil = Fault.json_value({"issuer": issuer, "token_endpoint": "https://169.254.169.254/latest"})
        with provider.fault(evil, endpoint="discovery"):
            endpoint = provider_for("keycloak").token_endpoint()
        with pytest.raises(ConfigurationError, match="private address"):
            endpoint.refresh(Secret("x"))

    @pytest.mark.parametrize("iss", [None, "https://evil.example", ""])
    def test_that_promises_an_issuer_makes_it_required(self, provider, iss):
        with pytest.raises(ConnectRefused, match="wrong_issuer"):
            provider_for("keycloak").check_callback_issuer(iss)
