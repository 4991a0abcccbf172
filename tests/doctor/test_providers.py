"""`doctor --live` asks providers what can be asked without spending anything, and says what is wrong before a user sees it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from mail_oauth.testing.faults import Fault
from mail_oauth.testing.provider import FakeProvider
from mail_oauth.tokens import Secret
from mail_oauth.upkeep.doctor import mailhosts
from tests.wire import Wire

pytestmark = pytest.mark.django_db

ALIASES = ("microsoft", "google", "keycloak", "plain")


@pytest.fixture(autouse=True)
def no_mail_hosts(settings: Any, provider: FakeProvider) -> None:
    """No test asks the real ones."""
    change(settings, **dict.fromkeys(mailhosts.BY_PROTOCOL))


def change(settings: Any, *aliases: str, **options: Any) -> None:
    """Change options of some providers, of all unless any is named."""
    ours = settings.MAIL_OAUTH
    providers = {
        alias: {**given, **options} if alias in (aliases or ALIASES) else given
        for alias, given in ours["PROVIDERS"].items()
    }
    settings.MAIL_OAUTH = {**ours, "PROVIDERS": providers}


class TestProvidersThatAreWell:
    def test_are_asked_for_everything_they_have(self, doctor):
        examined = doctor("--live")
        assert examined.levels("provider.token") == dict.fromkeys(ALIASES, "ok")
        assert examined.levels("provider.clock") == dict.fromkeys(ALIASES, "ok")
        assert examined.levels("provider.discovery") == dict.fromkeys(ALIASES[:3], "ok")
        assert examined.levels("provider.keys") == dict.fromkeys(ALIASES[:3], "ok")
        assert examined.levels("provider.certificate") == dict.fromkeys(ALIASES, "skipped"), "plain http"

    def test_hear_one_request_for_a_token_which_spends_nothing(self, doctor, connect, provider):
        rows = [connect(alias) for alias in ALIASES]
        provider.clear_calls()
        doctor("--live")
        calls = provider.token_calls("refresh_token")
        assert sorted(call.personality for call in calls) == ["google", "microsoft", "oidc", "plain"]
        assert {(call.error, call.email) for call in calls} == {("invalid_grant", None)}
        for row in rows:
            row.refresh_now()

    def test_may_be_asked_one_by_one(self, doctor, provider):
        provider.clear_calls()
        examined = doctor("--live", "--provider", "google")
        assert examined.levels("provider.token") == {"google": "ok"}
        assert {call.personality for call in provider.calls} == {"google"}

    def test_count_nothing_and_hold_nothing(self, doctor, provider):
        from mail_oauth.models import ProviderFault, ProviderHealth

        change_secret(doctor, "another secret altogether")
        assert doctor("--live").of("provider.token", "google")["level"] == "error"
        assert not ProviderFault.objects.exists()
        assert not ProviderHealth.objects.exists()

    def test_at_microsoft_prove_the_secret_later(self, doctor):
        assert "only refreshes prove" in doctor("--live").of("provider.token", "microsoft")["what"]

    def test_of_one_tenant_at_microsoft(self, doctor, settings):
        for tenant in ("organizations", "consumers", "contoso.com", "2f2b1a4c-0c1e-4f7b-9d44-0f2f7d1b9a11"):
            change(settings, "microsoft", TENANT=tenant)
            found = doctor("--live", "--provider", "microsoft").of("provider.discovery")
            assert (tenant, found["level"]) == (tenant, "ok")


def change_secret(doctor: Any, secret: str) -> None:
    from django.conf import settings

    doctor.never.append(secret)
    change(settings, CLIENT_SECRET=secret)


class TestAWrongClient:
    def test_secret(self, doctor):
        change_secret(doctor, "not the secret at all")
        examined = doctor("--live")
        assert examined.code == 1
        assert examined.levels("provider.token") == dict.fromkeys(ALIASES, "error")
        assert examined.of("provider.token", "microsoft")["what"] == "The client is refused (AADSTS7000215)."
        assert "its value (not its id)" in examined.of("provider.token", "microsoft")["hint"]
        assert examined.of("provider.token", "google")["what"] == "The client is refused (invalid_client)."

    def test_id(self, doctor, settings):
        change(settings, CLIENT_ID="nobody-knows-it")
        assert set(doctor("--live").levels("provider.token").values()) == {"error"}

    @pytest.mark.parametrize(
        ("number", "error", "words"),
        [
            (50194, "unauthorized_client", '"TENANT"'),
            (7000222, "invalid_client", "expired"),
            (28000, "invalid_request", "one resource"),
            (90002, "invalid_request", "no such tenant"),
            (700016, "unauthorized_client", '"CLIENT_ID"'),
        ],
    )
    def test_at_microsoft_by_its_number(self, doctor, provider, number, error, words):
        with provider.fault(Fault.oauth_error(error, aadsts=number), personality="microsoft"):
            found = doctor("--live").of("provider.token", "microsoft")
        assert found["level"] == "error"
        assert f"AADSTS{number}" in found["what"]
        assert words in found["hint"]


class TestSeveralSecrets:
    """While one takes the place of another, whichever is refused is named by its place."""

    @pytest.fixture
    def given(self, doctor: Any, settings: Any, provider: FakeProvider) -> Any:
        """`given("new", "right")`: these, of which "right" is the provider's, are the client's secrets in the settings."""

        def give(*secrets: str) -> None:
            listed = [
                provider.client_secret if secret == "right" else f"a wrong secret, {secret}" for secret in secrets
            ]
            doctor.never += [secret for secret in listed if secret != provider.client_secret]
            change(settings, CLIENT_SECRET=listed)

        return give

    def found(self, doctor: Any, alias: str = "google") -> list[tuple[str, str]]:
        findings = doctor("--live", "--provider", alias).data["findings"]
        return [(each["level"], each["what"]) for each in findings if each["id"] == "provider.token"]

    def test_that_are_all_right(self, doctor, settings, provider):
        change(settings, CLIENT_SECRET=[provider.client_secret, Secret(provider.client_secret)])
        assert [level for level, _ in self.found(doctor)] == ["ok"]

    @pytest.mark.parametrize("alias", ALIASES)
    def test_of_which_the_former_is_refused(self, doctor, given, alias):
        given("right", "former")
        (ok, _), (level, what) = self.found(doctor, alias)
        assert (ok, level) == ("ok", "warning")
        assert what.startswith("The second of 2 client secrets is refused (")

    def test_of_which_the_preferred_is_refused(self, doctor, given):
        given("new", "right")
        assert self.found(doctor)[1] == ("warning", "The first of 2 client secrets is refused (invalid_client).")

    def test_of_which_all_are_refused(self, doctor, given):
        given("new", "former")
        examined = doctor("--live", "--provider", "microsoft")
        assert examined.code == 1
        found = examined.of("provider.token")
        assert found["what"] == (
            "Each of the 2 client secrets is refused: the first (AADSTS7000215), the second (AADSTS7000215)."
        )
        assert "its value (not its id)" in found["hint"]

    def test_are_asked_about_once_each(self, doctor, given, provider):
        given("new", "right", "former")
        provider.clear_calls()
        self.found(doctor)
        assert [call.error for call in provider.token_calls()] == [
            "invalid_client",
            "invalid_grant",
            "invalid_client",
        ]


class TestATokenEndpoint:
    @pytest.mark.parametrize(
        ("fault", "level", "words"),
        [
            (Fault.html(502), "warning", "http_502"),
            (Fault.rate_limited("30"), "warning", "http_429"),
            (Fault.oauth_error("temporarily_unavailable", status=503), "warning", "http_503"),
            (Fault.oauth_error("never_heard_of"), "warning", "never_heard_of"),
            (Fault.oauth_error("invalid_scope"), "error", "invalid_scope"),
            (Fault.redirect("https://elsewhere.example/"), "error", "redirect"),
            (Fault.close(), "error", "reset"),
            (
                Fault.json_value({"access_token": "x", "token_type": "Bearer", "expires_in": 60}),
                "error",
                "that was made up",
            ),
        ],
        ids=str,
    )
    def test_that_is_not_well(self, doctor, provider, fault, level, words):
        with provider.fault(fault, personality="google"):
            found = doctor("--live", "--provider", "google").of("provider.token")
        assert (found["level"], words in found["what"]) == (level, True), found

    def test_that_is_silent_holds_nothing_up(self, doctor, provider, settings):
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "READ_TIMEOUT": 0.5, "TOTAL_TIMEOUT": 0.5}
        with provider.fault(Fault.hang(5), personality="google"):
            found = doctor("--live", "--provider", "google").of("provider.token")
        assert (found["level"], "timeout" in found["what"]) == ("error", True)

    def test_that_may_not_be_called_is_not(self, doctor, provider, settings):
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PRIVATE_HOSTS": []}
        provider.clear_calls()
        found = doctor("--live", "--provider", "google").of("provider.token")
        assert found["level"] == "error"
        assert provider.calls == []

    @pytest.mark.parametrize(
        ("minutes", "level"), [(1, "warning"), (-1, "warning"), (10, "error"), (-10, "error")]
    )
    def test_whose_clock_is_another(self, doctor, monkeypatch, minutes, level):
        true_now = timezone.now
        monkeypatch.setattr(timezone, "now", lambda: true_now() + timedelta(minutes=minutes))
        found = doctor("--live", "--provider", "google").of("provider.clock")
        assert found["level"] == level
        assert ("ahead of" if minutes > 0 else "behind") in found["what"]


class TestADiscoveryDocument:
    def test_of_another_issuer(self, doctor, settings, provider):
        issuer = provider.urls("oidc")["issuer"]
        change(settings, "keycloak", ISSUER=f"{issuer}/")
        found = doctor("--live", "--provider", "keycloak").of("provider.discovery")
        assert (found["level"], issuer in found["what"]) == ("error", True)
        assert '"ISSUER"' in found["hint"]

    def test_of_another_tenant(self, doctor, settings, provider):
        change(settings, "microsoft", TENANT="2f2b1a4c-0c1e-4f7b-9d44-0f2f7d1b9a11")
        other = f"{provider.url}/microsoft/9f2b1a4c-0c1e-4f7b-9d44-0f2f7d1b9a11/v2.0"
        with provider.fault(Fault.reply_with(issuer=other), endpoint="discovery"):
            found = doctor("--live", "--provider", "microsoft").of("provider.discovery")
        assert found["level"] == "error"

    @pytest.mark.parametrize(
        ("members", "words"),
        [
            ({"token_endpoint": "https://elsewhere.example/token"}, 'Write "TOKEN_URL": \'https://elsewhere'),
            ({"token_endpoint_auth_methods_supported": ["client_secret_basic"]}, '"CLIENT_AUTH": "basic"'),
        ],
    )
    def test_that_says_otherwise_than_the_settings(self, doctor, provider, members, words):
        with provider.fault(Fault.reply_with(**members), endpoint="discovery"):
            found = doctor("--live", "--provider", "google").of("provider.discovery")
        assert (found["level"], words in found["hint"]) == ("warning", True), found

    def test_without_the_scope_for_refresh_tokens(self, doctor, provider):
        with provider.fault(Fault.reply_with(scopes_supported=["openid"]), endpoint="discovery"):
            found = doctor("--live", "--provider", "keycloak").of("provider.discovery")
        assert (found["level"], "offline_access" in found["what"]) == ("warning", True)

    @pytest.mark.parametrize("fault", [Fault.html(404), Fault.json_value([]), Fault.deep_json()])
    def test_that_is_none(self, doctor, provider, fault):
        with provider.fault(fault, endpoint="discovery"):
            examined = doctor("--live", "--provider", "keycloak")
        assert examined.of("provider.discovery")["level"] == "error"
        assert examined.of("provider.token")["level"] == "error", "its endpoints are not known"

    def test_is_read_afresh(self, doctor, provider):
        assert doctor("--live", "--provider", "keycloak").of("provider.discovery")["level"] == "ok"
        with provider.fault(Fault.html(404), endpoint="discovery"):
            examined = doctor("--live", "--provider", "keycloak")
        assert examined.of("provider.discovery")["level"] == "error"


@pytest.mark.parametrize("keys", [{"keys": []}, {"keys": [{"kty": "nonsense"}]}, {}])
def test_keys_that_verify_nothing(doctor, provider, keys):
    with provider.fault(Fault.json_value(keys), endpoint="jwks"):
        found = doctor("--live", "--provider", "google").of("provider.keys")
    assert found["level"] == "error"


class TestACertificate:
    @pytest.fixture
    def of(self, doctor, settings, authority):
        def run(**certificate: Any) -> dict[str, Any]:
            with FakeProvider(tls=authority.context(**certificate)) as secure:
                urls = secure.urls("plain")
                change(
                    settings,
                    "plain",
                    AUTHORIZE_URL=urls["authorize"],
                    TOKEN_URL=urls["token"],
                    REVOKE_URL=urls["revoke"],
                    CLIENT_SECRET=secure.client_secret,
                )
                settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "CA_BUNDLE": str(authority.bundle)}
                examined = doctor("--live", "--provider", "plain")
                self.token = examined.of("provider.token")
                return examined.of("provider.certificate")

        return run

    def test_that_is_well(self, of):
        found = of(days=90)
        assert (found["level"], "TLSv1.3; certificate valid for 90 days" in found["what"]) == ("ok", True)
        assert self.token["level"] == "ok"

    def test_that_ends_soon(self, of):
        assert of(days=3)["level"] == "warning"

    def test_that_is_over(self, of):
        found = of(days=-1)
        assert (found["level"], "expired" in found["what"]) == ("error", True)
        assert "CA_BUNDLE" in found["hint"]
        assert self.token["level"] == "error"

    def test_that_nobody_can_judge(self, of, authority, monkeypatch):
        monkeypatch.setattr(authority, "bundle", authority.directory / "gone.pem")
        found = of()
        assert (found["level"], "gone.pem', which cannot be read" in found["hint"]) == ("error", True)
        assert self.token["level"] == "error"

    def test_behind_a_proxy_is_not_seen(self, of, settings):
        with Wire() as proxy:
            settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROXY": proxy.url.removesuffix("/token")}
            assert of(days=90)["level"] == "skipped"


def test_what_a_provider_says_is_never_repeated_at_length(doctor, provider):
    """An issuer of a kilobyte, with markup and a line's end in it."""
    said = "<script>" + "x" * 1000 + "\n[31mred"
    with provider.fault(Fault.reply_with(issuer=said), endpoint="discovery"):
        found = doctor("--live", "--provider", "google").of("provider.discovery")
    assert len(found["what"]) < 300
    assert "\n" not in json.loads(json.dumps(found["what"]))
