"""Mailboxes without a user are played by the kit, with nothing of the site's own but an alias."""

from __future__ import annotations

import pytest
from django.conf import settings as plain
from django.test import override_settings

from mail_oauth.exceptions import AdminRequired, ConfigurationError
from mail_oauth.managers.vocabulary import Access
from mail_oauth.models import MailCredentials
from mail_oauth.testing.configuring import configured
from mail_oauth.testing.factories import first_alias, make_mailbox
from mail_oauth.testing.provider import FakeProvider

APPS = {
    "contoso": {
        "CLASS": "microsoft",
        "ACCESS": "app",
        "TENANT": "contoso.com",
        "CLIENT_ID": "id",
        "CLIENT_CERTIFICATE": "/nowhere/contoso.pem",
    },
    "workspace": {"CLASS": "google", "ACCESS": "app", "SERVICE_ACCOUNT": "/nowhere/workspace.json"},
}
USERS = {"entra": {"CLASS": "microsoft", "CLIENT_ID": "id", "CLIENT_SECRET": "secret"}}
KINDS = {"contoso": "client_credentials", "workspace": "urn:ietf:params:oauth:grant-type:jwt-bearer"}

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def site(settings):
    """A site whose apps come before what users connect; the fixtures of the kit lead it to the fake."""
    settings.MAIL_OAUTH = {"PROVIDERS": {**APPS, **USERS}}


@pytest.fixture(params=KINDS)
def alias(request) -> str:
    return request.param


def test_a_mailbox_is_as_staff_add_it(app_mailbox):
    assert (app_mailbox.provider, app_mailbox.user, app_mailbox.access) == ("contoso", None, Access.SHARED)
    assert [event.kind for event in app_mailbox.events.all()] == ["connected"]


def test_what_users_connect_is_another_alias(connected_mailbox):
    assert connected_mailbox.provider == "entra"
    assert connected_mailbox.user is not None


def test_it_asks_when_it_is_asked(connect_mailbox, fake_provider, alias):
    mailbox = connect_mailbox(alias=alias)
    assert fake_provider.calls == []
    assert fake_provider.is_valid_access_token(mailbox.get_access_token().reveal(), email=mailbox.email)
    mailbox.get_access_token()
    assert [call.status for call in fake_provider.token_calls(KINDS[alias])] == [200]


@pytest.mark.parametrize(("seconds_left", "calls"), [(1800, 0), (-1, 1)])
def test_a_token_is_moved_in_time(connect_mailbox, fake_provider, alias, seconds_left, calls):
    connect_mailbox(alias=alias, email="earlier@example.com").get_access_token()
    fake_provider.clear_calls()
    mailbox = connect_mailbox(alias=alias, seconds_left=seconds_left)
    assert fake_provider.is_valid_access_token(mailbox.get_access_token().reveal(), email=mailbox.email)
    assert len(fake_provider.token_calls()) == calls


def test_faults_do_not_strike_while_it_is_made(connect_mailbox, fake_provider, alias):
    fake_provider.fail_next(1)
    connect_mailbox(alias=alias, seconds_left=1800).get_access_token()
    assert fake_provider.pending_faults


def test_columns_are_set_last(connect_mailbox, alias):
    mailbox = connect_mailbox(alias=alias, status="needs_admin", status_reason="odd")
    assert (mailbox.status, mailbox.status_reason) == ("needs_admin", "odd")
    with pytest.raises(AdminRequired):
        mailbox.get_access_token()


def test_it_has_no_user(connect_mailbox, user, alias):
    with pytest.raises(ValueError, match="have no user"):
        connect_mailbox(alias=alias, user=user)
    assert not MailCredentials.objects.exists()


def test_no_test_meets_the_apps_of_another(fake_provider_server: FakeProvider):
    fake_provider_server.forget_apps()
    with configured(fake_provider_server):
        fake_provider_server.register_app(mailboxes=["ada@example.com"])
    with configured(fake_provider_server):
        token = make_mailbox(fake_provider_server, alias="contoso").get_access_token().reveal()
        assert fake_provider_server.is_valid_access_token(token, email="eve@example.com")
    assert not fake_provider_server._store.service_accounts


def test_the_key_that_was_made_up_is_a_secret(fake_provider, assert_no_secrets):
    key = plain.MAIL_OAUTH["PROVIDERS"]["workspace"]["SERVICE_ACCOUNT"]["private_key"]
    with pytest.raises(AssertionError, match="holds a secret"):
        assert_no_secrets(f"a log of {key}")


@pytest.mark.parametrize(
    ("kept", "app", "words"), [(APPS, False, "whose mailboxes users"), (USERS, True, "ACCESS")]
)
def test_a_site_without_such_an_alias_is_told(kept, app, words):
    with (
        override_settings(MAIL_OAUTH={"PROVIDERS": kept}),
        pytest.raises(ConfigurationError, match=f"has no alias .*{words}"),
    ):
        first_alias(app=app)
