"""A token that a mail server refuses before its end is replaced once per interval, never in a loop."""

from __future__ import annotations

from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync

from mail_oauth.exceptions import MailboxDisconnected, ProviderUnavailable, ReauthRequired
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.testing.faults import Fault
from tests.concurrency import together
from tests.losses.passing import pass_time


@pytest.mark.django_db
class TestARejectedToken:
    def test_is_replaced_although_it_has_not_expired(self, connect, provider, posts):
        row = connect()
        old = row.get_access_token()
        new = row.report_rejected(old)
        assert new != old
        assert provider.is_valid_access_token(new.reveal(), row.email)
        assert row.get_access_token() == new
        assert posts(row) == 1

    def test_is_not_replaced_again_within_the_interval(self, connect, posts):
        row = connect()
        new = row.report_rejected(row.get_access_token())
        for _ in range(3):
            with pytest.raises(ProviderUnavailable, match="A mail server refuses") as raised:
                row.report_rejected(new)
        assert raised.value.reason == "token_rejected"
        assert 290 < raised.value.retry_after <= 300
        assert posts(row) == 1
        assert MailCredentials.objects.get(pk=row.pk).status == Status.CONNECTED, "the grant is not to blame"
        pass_time(timedelta(minutes=6))
        assert MailCredentials.objects.get(pk=row.pk).report_rejected(new) != new
        assert posts(row) == 2

    def test_that_was_replaced_already_costs_no_call(self, connect, posts):
        row = connect()
        old = row.get_access_token()
        new = row.refresh_now()
        assert row.report_rejected(old) == new
        assert posts(row) == 1

    def test_of_a_dead_grant_says_so(self, connect, provider):
        row = connect()
        token = row.get_access_token()
        provider.revoke(row.email)
        with pytest.raises(ReauthRequired):
            row.report_rejected(token)

    def test_of_a_provider_that_is_away_is_tried_later(self, connect, provider, posts):
        row = connect()
        token = row.get_access_token()
        provider.fail_next(1, Fault.html())
        with pytest.raises(ProviderUnavailable, match="http_502"):
            row.report_rejected(token)
        with pytest.raises(ProviderUnavailable):
            row.report_rejected(token)
        assert posts(row) == 1

    def test_is_named_by_what_was_given_out_not_by_its_text(self, connect, posts):
        row = connect()
        with pytest.raises(TypeError, match="get_access_token"):
            row.report_rejected(row.get_access_token().reveal())
        assert posts(row) == 0

    def test_of_a_disconnected_mailbox_calls_nobody(self, connect, posts):
        row = connect(status=Status.DISCONNECTED)
        with pytest.raises(MailboxDisconnected):
            MailCredentials.objects.report_rejected(row.pk, row.open_refresh_token())
        assert posts(row) == 0


@pytest.mark.django_db(transaction=True)
def test_awaited_it_does_the_same(connect):
    row = connect()
    old = row.get_access_token()
    assert async_to_sync(row.areport_rejected)(old) != old


@pytest.mark.django_db(transaction=True)
def test_many_that_report_one_token_cause_one_refresh(connect, posts, separate_connections):
    row = connect()
    old = row.get_access_token()
    tokens = together(8, lambda: MailCredentials.objects.report_rejected(row.pk, old))
    assert len({token.reveal() for token in tokens}) == 1
    assert posts(row) == 1
