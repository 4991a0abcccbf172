"""What a token reply says beside the tokens does not cost the tokens."""

from __future__ import annotations

import pytest

from mail_oauth.models import MailCredentials
from mail_oauth.testing.faults import Fault

pytestmark = pytest.mark.django_db

ODD = ["mail\x00 mail", "mail \ud800", "mail \x1b[31m", "mail \u202e", "mail " + "x" * 70_000]


@pytest.mark.parametrize("scope", ODD, ids=lambda scope: repr(scope[:20]))
def test_an_odd_scope_at_a_refresh_keeps_the_rotated_token(connect, provider, scope):
    row = connect("keycloak", seconds_left=-60)
    with provider.fault(Fault.reply_with(scope=scope)):
        token = row.get_access_token()
    row.refresh_from_db()
    assert provider.is_valid_access_token(token.reveal())
    assert provider.is_current_refresh_token(row.open_refresh_token().reveal())
    assert row.granted_scopes.isprintable()
    assert "mail" in row.scopes


@pytest.mark.parametrize("scope", ODD, ids=lambda scope: repr(scope[:20]))
def test_an_odd_scope_when_connecting(surfer, provider, scope):
    callback = surfer.consent(surfer.start("keycloak"), "ada@example.com")
    with provider.fault(Fault.reply_with(scope=scope)):
        surfer.follow(callback)
    assert MailCredentials.objects.get().granted_scopes.isprintable()


def test_scopes_as_a_list_are_read(surfer, provider):
    callback = surfer.consent(surfer.start("keycloak"), "ada@example.com")
    with provider.fault(Fault.reply_with(scope=["openid", "email"])):
        assert "scope_missing" in surfer.follow(callback)["Location"]
