"""Code gets a valid token: at once from the cache, else by a refresh that is saved first."""

from __future__ import annotations

from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail_oauth.cache import token_cache
from mail_oauth.exceptions import ConfigurationError, ReauthRequired
from mail_oauth.models import MailCredentials

pytestmark = pytest.mark.django_db


def queries(captured: CaptureQueriesContext) -> list[str]:
    """The statements but for transactions', by their first word."""
    words = [query["sql"].split()[0].upper() for query in captured.captured_queries]
    return [word for word in words if word not in {"SAVEPOINT", "RELEASE", "BEGIN", "COMMIT"}]


class TestWhatItCosts:
    def test_a_cached_token_costs_no_query(self, connect):
        mailbox = connect()
        first = mailbox.get_access_token()
        with CaptureQueriesContext(connection) as captured:
            again = MailCredentials.objects.get_access_token(mailbox.pk)
        assert queries(captured) == []
        assert again == first

    def test_a_token_of_the_database_costs_one(self, connect):
        mailbox = connect()
        with CaptureQueriesContext(connection) as captured:
            mailbox.get_access_token()
        assert queries(captured) == ["SELECT"]

    def test_a_refresh_costs_five_a_look_at_the_lanes_and_now_and_then_a_count(self, connect, posts):
        mailbox = connect(seconds_left=-10)
        with CaptureQueriesContext(connection) as captured:
            mailbox.get_access_token()
        lanes = ["SELECT"]  # at each look, as this test is a transaction; else once in two seconds
        alone = ["SELECT", *lanes, "UPDATE", "SELECT", *lanes, "UPDATE", "INSERT"]
        assert queries(captured) == [*alone, "UPDATE", "INSERT"]
        with CaptureQueriesContext(connection) as captured:
            mailbox.refresh_now()
        forced = ["SELECT", "UPDATE", "SELECT", *lanes, "UPDATE", "INSERT"]
        assert queries(captured) == forced, "counted, but not written down yet"
        assert posts(mailbox) == 2

    def test_a_mailbox_that_must_be_reconnected_costs_one_and_no_call(self, connect, posts, provider):
        mailbox = connect(seconds_left=-10)
        provider.revoke(mailbox.email)
        with pytest.raises(ReauthRequired):
            mailbox.get_access_token()
        with CaptureQueriesContext(connection) as captured, pytest.raises(ReauthRequired):
            mailbox.get_access_token()
        assert queries(captured) == ["SELECT"]
        assert posts(mailbox) == 1


class TestAnExpiredToken:
    def test_is_refreshed_and_saved(self, connect, provider):
        mailbox = connect(seconds_left=-10)
        token = mailbox.get_access_token()
        assert provider.is_valid_access_token(token.reveal())
        stored = MailCredentials.objects.get(pk=mailbox.pk)
        assert stored.generation == mailbox.generation + 1 == token.generation
        assert stored.open_access_token() == token
        assert stored.open_refresh_token().reveal() == provider.newest_refresh_token(mailbox.email, "microsoft")

    @pytest.mark.parametrize("alias", ["microsoft", "google", "keycloak", "plain"])
    def test_is_refreshed_at_every_kind_of_provider_twice(self, connect, provider, alias):
        mailbox = connect(alias, seconds_left=-10)
        tokens = [mailbox.get_access_token(), mailbox.refresh_now(), mailbox.refresh_now()]
        assert len({token.reveal() for token in tokens}) == 3
        assert all(provider.is_valid_access_token(token.reveal(), email=mailbox.email) for token in tokens)
        stored = MailCredentials.objects.get(pk=mailbox.pk)
        assert provider.is_current_refresh_token(stored.open_refresh_token().reveal())

    def test_releases_the_lease_and_is_scheduled_again(self, connect):
        mailbox = connect(seconds_left=-10)
        token = mailbox.get_access_token()
        stored = MailCredentials.objects.get(pk=mailbox.pk)
        assert stored.lease_owner == ""
        before_expiry = token.expires_at - stored.refresh_at
        assert timedelta(seconds=300) <= before_expiry < timedelta(seconds=3600)


class TestHowLongATokenMustLive:
    @pytest.mark.parametrize(
        ("left", "wanted", "refreshed"),
        [
            (3600, None, False),
            (61, None, False),
            (59, None, True),
            (-1, None, True),
            (2000, 1900, False),
            (2000, 2100, True),
            (2890, 10**9, False),  # four fifths of the lifetime are the most that can be asked for
            (2870, 10**9, True),
            (10, 0, False),
            (-10, 0, True),
            (-10, -100, True),
        ],
    )
    def test_is_min_validity_within_reason(self, connect, posts, left, wanted, refreshed):
        mailbox = connect(seconds_left=left)
        token = mailbox.get_access_token(min_validity=wanted)
        assert token.seconds_left(timezone.now()) > 0
        assert posts(mailbox) == refreshed

    def test_a_short_lived_token_is_served_without_a_storm_of_refreshes(self, connect, provider, posts):
        provider.configure(access_token_seconds=12)
        mailbox = connect(seconds_left=-10)
        tokens = {mailbox.get_access_token().reveal() for _ in range(5)}
        assert len(tokens) == 1
        assert posts(mailbox) == 1

    def test_a_token_is_handed_out_once_however_short_its_life(self, connect, provider, posts):
        provider.configure(access_token_seconds=1)
        mailbox = connect(seconds_left=-10)
        assert provider.is_valid_access_token(mailbox.get_access_token(min_validity=3000).reveal())
        assert posts(mailbox) == 1


class TestInsideTheMargin:
    def test_the_caller_is_served_at_once_and_the_sweep_told_where_nothing_can_run_behind(self, connect, posts):
        mailbox = connect(seconds_left=200)
        token = mailbox.get_access_token()
        assert token == mailbox.open_access_token()
        assert posts(mailbox) == 0
        assert [row.pk for row in MailCredentials.objects.due()] == [mailbox.pk]

    def test_further_callers_cost_nothing(self, connect):
        mailbox = connect(seconds_left=200)
        mailbox.get_access_token()
        with CaptureQueriesContext(connection) as captured:
            mailbox.get_access_token()
        assert queries(captured) == []


class TestAwaited:
    def test_from_the_row_and_from_its_pk(self, connect, posts):
        mailbox = connect(seconds_left=-10)
        token = async_to_sync(mailbox.aget_access_token)()
        assert async_to_sync(MailCredentials.objects.aget_access_token)(mailbox.pk) == token
        assert posts(mailbox) == 1

    def test_a_refresh(self, connect, posts):
        mailbox = connect()
        first = mailbox.get_access_token()
        assert async_to_sync(mailbox.arefresh_now)() != first
        assert posts(mailbox) == 1

    def test_errors_are_the_same(self, connect, provider):
        mailbox = connect(seconds_left=-10)
        provider.revoke(mailbox.email)
        with pytest.raises(ReauthRequired):
            async_to_sync(mailbox.aget_access_token)()


def test_a_forced_refresh_does_not_wait_for_the_token_to_age(connect, posts):
    mailbox = connect()
    first = mailbox.get_access_token()
    second = mailbox.refresh_now()
    assert second != first
    assert mailbox.get_access_token() == second == token_cache.get(mailbox.pk)
    assert posts(mailbox) == 1


def test_there_is_one_resource_so_far(connect):
    with pytest.raises(ConfigurationError, match="graph"):
        connect().get_access_token(resource="graph")


def test_a_mailbox_that_does_not_exist(connect):
    mailbox = connect()
    MailCredentials.objects.all().delete()
    with pytest.raises(MailCredentials.DoesNotExist):
        mailbox.get_access_token()
