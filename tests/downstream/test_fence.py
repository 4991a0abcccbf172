"""Whatever a test does to the settings, no true provider hears of it, and the next test finds the fake as it was."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit
from urllib.request import getproxies

import pytest
from django.conf import settings as plain
from django.contrib.auth.models import User
from django.test import override_settings

from mail_oauth.connect.disconnect import retry_revocation
from mail_oauth.exceptions import ConfigurationError, MailServerUnavailable, ProviderUnavailable
from mail_oauth.models import MailCredentials
from mail_oauth.near import near_copies
from mail_oauth.testing.configuring import configured
from mail_oauth.testing.factories import make_mailbox
from mail_oauth.testing.fence import LeftThisMachine
from mail_oauth.testing.provider import FakeProvider
from mail_oauth.testing.walker import ConsentNotOffered
from mail_oauth.tokens import MailServer
from mail_oauth.upkeep.sweep import refresh_batch

SITE = {
    "BASE_URL": "https://your.site",
    "PROXY": "http://proxy.your.site:3128",
    "VERIFY_CONNECT": "imap",
    "PROVIDERS": {
        "google": {"CLIENT_ID": "the-sites-own", "CLIENT_SECRET": "a secret of production"},
        "sso": {"CLASS": "oidc", "CLIENT_ID": "the-sites-own", "ISSUER": "https://sso.your.site"},
    },
}
"""What stands in a site's settings module, and is read from there before a test begins."""

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def site(settings) -> None:
    settings.MAIL_OAUTH = SITE


@pytest.fixture
def looked_up(monkeypatch) -> list[str]:
    """The names that were looked up, other than this machine's."""
    seen, real = [], socket.getaddrinfo

    def look_up(host, *args, **how):
        if host != "127.0.0.1":
            seen.append(host)
        return real("127.0.0.1", *args, **how)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return seen


@pytest.mark.parametrize("alias", SITE["PROVIDERS"])
def test_settings_that_are_put_back_call_nobody(connect_mailbox, fake_provider, looked_up, alias):
    mailbox = connect_mailbox(alias=alias, seconds_left=-1)
    fake_provider.clear_calls()
    with (
        override_settings(MAIL_OAUTH={**SITE, "PROXY": "", "REFRESH_MARGIN": 60}),
        pytest.raises(LeftThisMachine, match=r"settings\.MAIL_OAUTH"),
    ):
        mailbox.get_access_token()
    assert not looked_up
    assert not fake_provider.calls


def test_neither_is_a_proxy_called_nor_a_mail_server(connect_mailbox, looked_up):
    mailbox, other = connect_mailbox(), connect_mailbox(seconds_left=-1)
    with pytest.raises(LeftThisMachine, match=r"imap\.gmail\.com"), mailbox.imap():
        pass
    with override_settings(MAIL_OAUTH=SITE), pytest.raises(LeftThisMachine, match="googleapis"):
        other.get_access_token()
    assert not looked_up


def test_a_sweep_that_would_leave_is_told_as_broken(connect_mailbox, fake_provider, looked_up):
    connect_mailbox(seconds_left=-1)
    with override_settings(MAIL_OAUTH={**SITE, "PROXY": ""}):
        assert refresh_batch(revoke=retry_revocation, threads=0).broken == 1
    assert not looked_up


@pytest.mark.parametrize(
    ("host", "error"),
    [("172.18.0.2", LeftThisMachine), ("mail.internal", LeftThisMachine), ("mail.test", MailServerUnavailable)],
)
def test_a_mail_server_of_ones_own_is_here_or_named_as_nobodys(connect_mailbox, settings, looked_up, host, error):
    mailbox = connect_mailbox(alias="google")
    google = {**settings.MAIL_OAUTH["PROVIDERS"]["google"], "IMAP": MailServer(host=host, port=1)}
    ours = {**settings.MAIL_OAUTH, "PRIVATE_HOSTS": ["127.0.0.1", host], "PROVIDERS": {"google": google}}
    with override_settings(MAIL_OAUTH=ours), pytest.raises(error), mailbox.imap():
        pass
    assert looked_up == ([] if error is LeftThisMachine else [host])


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY"])
def test_the_machines_own_proxy_is_not_asked_for_the_fake(fake_provider_server, monkeypatch, name):
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "intranet.example")
    with configured(fake_provider_server):
        assert make_mailbox(fake_provider_server, seconds_left=-1).get_access_token()
        assert getproxies()["no"] == "intranet.example,127.0.0.1"


def test_certificates_that_lie_where_the_site_runs_are_not_needed(fake_provider_server):
    with (
        override_settings(MAIL_OAUTH={**SITE, "CA_BUNDLE": "/nowhere/company.pem"}),
        configured(fake_provider_server),
    ):
        assert make_mailbox(fake_provider_server, seconds_left=-1).get_access_token()
        assert "CA_BUNDLE" not in plain.MAIL_OAUTH


def test_nothing_is_kept_in_memory(fake_provider_server):
    with configured(fake_provider_server, NEAR_CACHE_SECONDS=60):
        mailbox = make_mailbox(fake_provider_server)
        mailbox.get_access_token()
        assert near_copies.get(mailbox.pk) is not None
    assert near_copies.get(mailbox.pk) is None


@pytest.mark.parametrize("alias", SITE["PROVIDERS"])
def test_no_mailbox_is_made_at_a_true_provider(connect_mailbox, alias):
    with (
        override_settings(MAIL_OAUTH=SITE),
        pytest.raises(ConfigurationError, match="not to the fake provider at http"),
    ):
        connect_mailbox(alias=alias)
    assert not MailCredentials.objects.exists()


def test_providers_among_the_changes_are_led_to_the_fake(fake_provider_server):
    changes = {"PROVIDERS": {"mine": SITE["PROVIDERS"]["google"] | {"CLASS": "google"}}, "VERIFY_CONNECT": "smtp"}
    with configured(fake_provider_server, **changes):
        assert plain.MAIL_OAUTH["VERIFY_CONNECT"] == "smtp", "it was asked for"
        token = make_mailbox(fake_provider_server, alias="mine", seconds_left=-1).get_access_token()
        assert fake_provider_server.is_valid_access_token(token.reveal())


def test_somebody_connects_at_a_site_with_an_address_of_its_own(client, fake_provider):
    user = User.objects.create(username="grace")
    client.force_login(user)
    away = client.post("/mail/connect/google/")
    back = urlsplit(fake_provider.authorize(away["Location"], email="grace@example.com"))
    assert back.hostname == "your.site"
    client.get(f"{back.path}?{back.query}")
    assert MailCredentials.objects.for_user(user).count() == 1


def test_a_site_that_the_fake_does_not_know_is_named(fake_provider):
    away = fake_provider.urls("google")["authorize"] + "?client_id=fake-provider-client&response_type=code&scope=x"
    with pytest.raises(ConsentNotOffered, match=r"redirect URI.* https://other\.site/back\. .*add_site"):
        fake_provider.authorize(f"{away}&redirect_uri=https://other.site/back")


@pytest.mark.parametrize("columns", [{"second_left": -1}, {"staus": "connected"}])
def test_what_is_no_column_is_refused(connect_mailbox, columns):
    with pytest.raises(TypeError, match=r"Did you mean '(seconds_left|status)'"):
        connect_mailbox(**columns)


def test_what_a_test_did_to_the_fake_is_undone(fake_provider_server: FakeProvider):
    policy = fake_provider_server.policy
    elsewhere = f"{fake_provider_server.urls('google')['authorize']}?client_id={fake_provider_server.client_id}"
    elsewhere += "&response_type=code&scope=x&redirect_uri=https://second.site/back"
    for _ in range(2):
        with configured(fake_provider_server):
            with pytest.raises(ConsentNotOffered):
                fake_provider_server.authorize(elsewhere)
            fake_provider_server.add_site("https://second.site")
            assert fake_provider_server.authorize(elsewhere).startswith("https://second.site/back?")
            assert fake_provider_server.policy == policy
            assert not fake_provider_server.knows("lovelace@example.com")
            mailbox = make_mailbox(fake_provider_server, email="lovelace@example.com", seconds_left=-1)
            assert fake_provider_server.living_grants("lovelace@example.com") == 1
            assert mailbox.get_access_token()
            fake_provider_server.add_client(fake_provider_server.client_id, "a secret that the settings lack")
            fake_provider_server.add_client("another", "secret of another")
            fake_provider_server.configure(access_token_seconds=1)
            fake_provider_server.fail_next(3)
    with pytest.raises(KeyError, match="no client 'another'"):
        fake_provider_server.grant("ada@example.com", client_id="another")


def test_a_fake_that_was_stopped_is_there_again_where_it_was(fake_provider_server: FakeProvider):
    where = fake_provider_server.url
    with configured(fake_provider_server):
        mailbox = make_mailbox(fake_provider_server, seconds_left=-1)
        fake_provider_server.stop()
        with pytest.raises(ProviderUnavailable):
            mailbox.get_access_token()
        fake_provider_server.start()
        assert fake_provider_server.url == where
        fake_provider_server.stop()
    assert fake_provider_server.url == where
    assert fake_provider_server.grant("ada@example.com")
