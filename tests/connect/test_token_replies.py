"""What the token endpoint answers to a code: 17 to 30 of `tests/losses/faults.py`. What is refused changes nothing."""

from __future__ import annotations

from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.urls import reverse

from mail_oauth.connect.attempts import open_secret
from mail_oauth.exceptions import ConnectRefused
from mail_oauth.models import ConnectAttempt, MailCredentials
from mail_oauth.providers.contract import Provider
from mail_oauth.refresh.replies import MAX_TOKEN
from mail_oauth.testing.faults import Fault

pytestmark = pytest.mark.django_db

ODD = "a\r\nb", "a\x01b", "a\x00b", "a\nb", "gr\u00fc\u00dfe", "a\ud800"
REFUSED = [
    pytest.param(Fault.reply_without("refresh_token"), "no_refresh_token", id="17 absent"),
    pytest.param(Fault.reply_with(refresh_token=""), "no_refresh_token", id="17 empty"),
    pytest.param(Fault.reply_with(refresh_token=None), "no_refresh_token", id="17 null"),
    pytest.param(Fault.reply_without("access_token"), "provider_unavailable", id="20"),
    pytest.param(Fault.reply_with(access_token="a" * (MAX_TOKEN + 1)), "provider_unavailable", id="21"),
    pytest.param(Fault.reply_with(token_type="mac"), "provider_unavailable", id="23 mac"),
    pytest.param(Fault.reply_with(token_type="DPoP"), "provider_unavailable", id="23 DPoP"),
    pytest.param(Fault.reply_with(scope="openid email"), "scope_missing", id="24"),
    *(
        pytest.param(Fault.reply_with(access_token=odd), "provider_unavailable", id=f"25 access {odd!a}")
        for odd in ODD
    ),
    *(
        pytest.param(Fault.reply_with(refresh_token=odd), "no_refresh_token", id=f"25 refresh {odd!a}")
        for odd in ODD
    ),
    *(pytest.param(Fault.reply_with(id_token=odd), "no_id_token", id=f"25 id_token {odd!a}") for odd in ODD),
    pytest.param(Fault.reply_without("id_token"), "no_id_token", id="26 absent"),
    pytest.param(Fault.reply_with(id_token=5), "no_id_token", id="26 a number"),
    pytest.param(Fault.reply_with(id_token="a.b.c"), "bad_id_token", id="26 no token"),
    pytest.param(Fault.reply_with(id_token="a" * 100_000), "bad_id_token", id="26 100 KB"),
    pytest.param(Fault.reply_with(id_token="a" * 900_000), "no_id_token", id="26 900 KB"),
    pytest.param(Fault.reply_with(id_token="a" * 2_000_000), "provider_unavailable", id="26 2 MB"),
    pytest.param(Fault.html(200), "provider_unavailable", id="27 HTML"),
    pytest.param(Fault.empty(), "provider_unavailable", id="27 empty"),
    pytest.param(Fault.json_value(["a"]), "provider_unavailable", id="27 array"),
    pytest.param(Fault.json_value("a"), "provider_unavailable", id="27 text"),
    pytest.param(Fault.json_value(None), "provider_unavailable", id="27 null"),
    pytest.param(Fault.bom(), "provider_unavailable", id="27 byte order mark"),
    pytest.param(Fault.deep_json(), "provider_unavailable", id="27 depth"),
    pytest.param(Fault.reply_with(error="invalid_grant"), "start_again", id="28 refused"),
    pytest.param(Fault.oauth_error("invalid_client", status=200), "misconfigured", id="28 client"),
    pytest.param(Fault.gzip_bomb(), "provider_unavailable", id="30 gzip"),
    pytest.param(Fault.huge_body(), "provider_unavailable", id="30 huge"),
]


@pytest.mark.parametrize("again", [False, True], ids=["new", "reconnecting"])
@pytest.mark.parametrize(("fault", "code"), REFUSED)
def test_a_reply_that_does_not_fit_connects_nothing(surfer, provider, caplog, fault, code, again):
    if again:
        surfer.connect("keycloak")
    before = list(MailCredentials.objects.values())
    callback = surfer.consent(surfer.start("keycloak"), "ada@example.com")
    with provider.fault(fault):
        reply = surfer.follow(callback)
    assert reply["Location"] == reverse("mail_oauth:refused", args=["keycloak", code])
    assert surfer.client.get(reply["Location"]).status_code == 200
    assert list(MailCredentials.objects.values()) == before
    assert not ConnectAttempt.objects.exists()
    assert not {secret for secret in provider.issued if len(secret) > 30 and secret in caplog.text}
    if again:
        assert MailCredentials.objects.get().refresh_now(), "the grant from before lives"


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault.reply_with(scope="openid email"), "scope_missing (Not granted: mail)"),
        (Fault.reply_with(id_token="a.b.c"), "bad_id_token (DecodeError)"),
        (Fault.oauth_error("invalid_client", status=401), "misconfigured (invalid_client)"),
        (Fault.reply_without("access_token"), "provider_unavailable (no_access_token)"),
        (Fault.reply_without("refresh_token"), "no_refresh_token"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_log_says_why_a_user_could_not_connect(surfer, provider, caplog, fault, why):
    callback = surfer.consent(surfer.start("keycloak"), "ada@example.com")
    with provider.fault(fault):
        surfer.follow(callback)
    assert f"connect refused: {why}" in caplog.messages
    [record] = [record for record in caplog.records if record.msg.startswith("connect refused")]
    assert (record.provider, record.outcome) == ("keycloak", why.split()[0])
    assert why in (record.outcome, f"{record.outcome} ({record.reason})")


@pytest.mark.parametrize(
    ("error", "why"),
    [
        ("invalid_scope", "misconfigured (invalid_scope)"),
        ("app_not_verified", "provider_error (app_not_verified)"),
        ("a\r\nforged", "provider_error"),
        ("code=0123456789abcdef", "provider_error"),
    ],
)
def test_the_log_names_the_code_that_the_provider_sent_and_no_text_of_others(surfer, caplog, error, why):
    state = parse_qs(urlsplit(surfer.start("keycloak")).query)["state"][0]
    issuer = {"iss": surfer.provider.urls("oidc")["issuer"]}
    path = reverse("mail_oauth:callback", args=["keycloak"])
    surfer.follow(f"{path}?{urlencode({'state': state, 'error': error, **issuer})}")
    assert f"connect refused: {why}" in caplog.messages


def test_the_log_hides_what_a_provider_of_the_sites_own_says_of_secrets(surfer, caplog, monkeypatch):
    def refuse(*_, **__):
        raise ConnectRefused("no_identity", "refused with refresh_token=s3cr3t " + "x" * 10_000)

    monkeypatch.setattr(Provider, "identity", refuse)
    surfer.connect("plain", email="ada@example.com")
    assert "refused with refresh_token=[hidden] xxx" in caplog.text
    assert "s3cr3t" not in caplog.text
    assert len(caplog.text) < 2000


@pytest.mark.parametrize(
    "fault",
    [
        Fault.reply_with(expires_in="3599"),
        Fault.reply_without("expires_in"),
        Fault.reply_with(expires_in=float("nan")),
        Fault.reply_with(expires_in=0),
        Fault.reply_with(expires_in=10**30),
        Fault.reply_with(token_type="BEARER"),
        Fault.reply_without("scope"),
        Fault.reply_with(scope="mail extra openid email"),
        Fault.reply_with(access_token="a" * 65536, refresh_token="r" * 65536),
    ],
    ids=["22 text", "22 absent", "22 NaN", "22 naught", "22 endless", "23", "24 absent", "24 more", "21 64 KB"],
)
def test_one_that_is_odd_but_fits_connects(surfer, provider, fault):
    callback = surfer.consent(surfer.start("keycloak"), "ada@example.com")
    with provider.fault(fault):
        assert surfer.follow(callback)["Location"] == reverse("mail_oauth:mailboxes")
    row = MailCredentials.objects.get()
    assert 5 < row.open_access_token().seconds_left() <= 86_400
    assert row.open_refresh_token()


def test_every_consent_has_secrets_of_its_own(surfer):
    """RFC 9700 §2.1.1 and §4.7: at least 128 bits each, never the same twice."""
    secrets = []
    for _ in range(3):
        url = surfer.start("keycloak")
        attempt = ConnectAttempt.objects.order_by("-expires_at").first()
        state = url.split("state=")[1].split("&")[0]
        secrets += [state, *(open_secret(attempt, name).reveal() for name in ("nonce", "code_verifier"))]
    assert len(set(secrets)) == 9
    assert {len(secret) for secret in secrets} == {64}, "384 bits in base64"
