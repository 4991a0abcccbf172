"""Where browsers and our own calls are sent: this site, and endpoints that may be called."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from django.urls import reverse

from mail_oauth.connect.refusals import REFUSALS
from mail_oauth.models import ConnectAttempt, MailCredentials
from mail_oauth.testing.faults import Fault

pytestmark = pytest.mark.django_db


@pytest.fixture
def discovery(settings, provider):
    """Answer discovery with the true document, changed; forget what was fetched before."""

    def discovery(**changes):
        settings.MAIL_OAUTH = dict(settings.MAIL_OAUTH)
        return provider.fault(Fault.reply_with(**changes), endpoint="discovery")

    return discovery


@pytest.mark.parametrize(
    "target",
    [
        "foo",  # a name that no URL has: resolving it was a 500 after the mailbox was connected
        "logout",
        "admin:logout",
        "admin:index",
        "../admin/",
        "?next=//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "/\t/evil.example",
        "//evil.example\\@testserver/",
        "http:///evil.example",
        "http://testserver@evil.example/",
        "http://testserver.evil.example/",
        "https://testserver:443@evil.example",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "\x01javascript:alert(1)",
        " //evil.example",
        "/inbox\x00",
        "/inbox\r\nSet-Cookie: a=b",
        "/" + "x" * 2000,
    ],
    ids=repr,
)
def test_a_next_that_leads_elsewhere_or_nowhere(surfer, target):
    assert surfer.connect(next=target)["Location"] == reverse("mail_oauth:mailboxes")
    assert MailCredentials.objects.exists()


@pytest.mark.parametrize("target", ["/inbox/", "/inbox.html", "http://testserver/inbox/", "/" + "x" * 1999])
def test_a_next_of_this_site(surfer, target):
    assert surfer.connect(next=target)["Location"] == target


def test_a_next_of_another_scheme_is_no_downgrade(surfer):
    url = surfer.client.post(
        reverse("mail_oauth:start", args=["microsoft"]), {"next": "http://testserver/inbox/"}, secure=True
    )["Location"]
    assert ConnectAttempt.objects.get().next_url == ""
    assert parse_qs(urlsplit(url).query)["redirect_uri"] == ["https://testserver/mail/callback/microsoft/"]


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-Host": "evil.example"},
        {"Forwarded": "host=evil.example"},
        {"X-Forwarded-Proto": "gopher"},
        {"X-Original-URL": "/evil/"},
        {"X-Rewrite-URL": "/evil/"},
        {"Origin": "http://testserver"},
    ],
)
def test_no_header_changes_the_redirect_uri(surfer, headers):
    reply = surfer.client.post(reverse("mail_oauth:start", args=["microsoft"]), headers=headers)
    uri = parse_qs(urlsplit(reply["Location"]).query)["redirect_uri"]
    assert uri == ["http://testserver/mail/callback/microsoft/"]


class TestDiscovery:
    @pytest.mark.parametrize(
        "endpoint",
        [
            "http://evil.example/authorize",
            "javascript:alert(1)",
            "//evil.example",
            "https://10.0.0.1/authorize",
            "https://user:password@evil.example/",
            "",
            7,
            ["https://evil.example/"],
            {"a": 1},
            None,
        ],
        ids=repr,
    )
    def test_an_authorization_endpoint_that_no_browser_is_sent_to(self, surfer, discovery, endpoint):
        with discovery(authorization_endpoint=endpoint):
            reply = surfer.client.post(reverse("mail_oauth:start", args=["keycloak"]))
        assert reply["Location"] == reverse("mail_oauth:refused", args=["keycloak", "misconfigured"])
        assert not ConnectAttempt.objects.exists()

    @pytest.mark.parametrize(
        "endpoint",
        [
            "http://169.254.169.254/latest/meta-data/",
            "https://169.254.169.254/",
            "https://[::1]/token",
            "https://[::ffff:10.0.0.1]/token",
            "https://2130706433/token",
            "https://localhost/token",
            "file:///etc/passwd",
            "gopher://evil.example/",
            7,
            None,
        ],
        ids=repr,
    )
    @pytest.mark.parametrize("name", ["token_endpoint", "jwks_uri"])
    def test_a_private_endpoint_is_not_called(self, surfer, discovery, name, endpoint, caplog):
        with discovery(**{name: endpoint}):
            callback = surfer.consent(surfer.start("keycloak"), "ada@example.com")
            reply = surfer.follow(callback)
        assert reply["Location"].endswith(("/misconfigured/", "/provider_unavailable/"))
        assert not MailCredentials.objects.exists()

    def test_a_private_userinfo_gets_no_token(self, surfer, discovery, provider):
        with (
            discovery(userinfo_endpoint="https://10.0.0.1/userinfo"),
            provider.fault(provider.id_token_fault({"email": None})),
        ):
            reply = surfer.follow(surfer.consent(surfer.start("keycloak"), "ada@example.com"))
        assert reply["Location"].endswith("/misconfigured/")

    @pytest.mark.parametrize(
        "fault",
        [
            Fault.redirect("http://169.254.169.254/"),
            Fault.html(503),
            Fault.close(),
            Fault.empty(),
            Fault.json_value([]),
            Fault.deep_json(),
            Fault.gzip_bomb(),
        ],
        ids=lambda fault: fault.name,
    )
    def test_a_provider_that_is_away_is_a_page_and_no_error(self, surfer, settings, provider, fault):
        settings.MAIL_OAUTH = dict(settings.MAIL_OAUTH)
        with provider.fault(fault, endpoint="discovery"):
            reply = surfer.client.post(reverse("mail_oauth:start", args=["keycloak"]), {"next": "/inbox/"})
        assert reply["Location"].endswith("/refused/keycloak/provider_unavailable/")
        assert surfer.client.get(reply["Location"]).status_code == 200

    @pytest.mark.parametrize("suffix", ["/", "//", "?x", "#", ".evil.example", "\n"])
    def test_another_issuer_in_the_document(self, surfer, discovery, provider, suffix):
        with discovery(issuer=provider.urls("oidc")["issuer"] + suffix):
            reply = surfer.client.post(reverse("mail_oauth:start", args=["keycloak"]))
        assert reply["Location"].endswith("/misconfigured/")

    def test_an_endless_issuer_does_not_fill_the_log(self, surfer, discovery, caplog):
        with discovery(issuer="x" * 100_000):
            surfer.client.post(reverse("mail_oauth:start", args=["keycloak"]))
        assert 0 < len(caplog.text) < 20_000

    def test_a_reconnect_that_is_refused_at_the_start_knows_its_mailbox(self, surfer, settings, provider):
        surfer.connect("keycloak")
        row = MailCredentials.objects.get()
        settings.MAIL_OAUTH = dict(settings.MAIL_OAUTH)
        with provider.fault(Fault.html(503), endpoint="discovery"):
            reply = surfer.client.post(reverse("mail_oauth:start", args=["keycloak"]), {"mailbox": str(row.pk)})
        assert f'name="mailbox" value="{row.pk}"'.encode() in surfer.client.get(reply["Location"]).content


def test_the_callbacks_answer_carries_nothing_of_the_query(surfer):
    callback = surfer.consent(surfer.start(), "ada@example.com")
    reply = surfer.follow(callback + "&next=//evil.example&mailbox=x&x=" + "y" * 5000)
    assert reply["Location"] == reverse("mail_oauth:mailboxes")


def test_refusals_are_never_somebody_elses_words():
    assert all(code.replace("_", "").isalnum() for code in REFUSALS)
    assert json.dumps(sorted(REFUSALS))
