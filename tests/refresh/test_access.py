"""Code gets a valid token: at once from the cache, else by a refresh that is saved first."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mail_oauth.exceptions import ReauthRequired
from mail_oauth.models import MailCredentials

pytestmark = pytest.mark.django_db


def test_a_cached_token_costs_no_query(connect):
    mailbox = connect()
    first = mailbox.get_access_token()
    with CaptureQueriesContext(connection) as queries:
        again = MailCredentials.objects.get_access_token(mailbox.pk)
    assert len(queries) == 0
    assert again == first


def test_an_expired_token_is_refreshed_and_saved(connect, provider):
    mailbox = connect(seconds_left=-10)
    token = mailbox.get_access_token()
    assert provider.is_valid_access_token(token.reveal())
    stored = MailCredentials.objects.get(pk=mailbox.pk)
    assert stored.generation == mailbox.generation + 1
    assert stored.open_access_token() == token
    assert stored.open_refresh_token().reveal() == provider.newest_refresh_token(mailbox.email, "microsoft")


def test_a_withdrawn_grant_asks_for_its_user(connect, provider):
    mailbox = connect(seconds_left=-10)
    provider.revoke(mailbox.email)
    with pytest.raises(ReauthRequired):
        mailbox.get_access_token()
