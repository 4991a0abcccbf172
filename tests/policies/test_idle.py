"""An idle mailbox costs nothing while nobody asks for its token, answers when somebody does, and never loses its grant."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone

from mail_oauth import signals
from mail_oauth.exceptions import ProviderUnavailable, ReauthRequired
from mail_oauth.managers.background import threads
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.testing.faults import Fault
from mail_oauth.upkeep.drift import Drift
from mail_oauth.upkeep.reconcile import reconcile_cache
from tests.losses.passing import pass_time, sweep, until_due
from tests.policies.mailboxes import DAY, HOUR, stored, waits

pytestmark = pytest.mark.django_db


@pytest.fixture
def idle(site, connect):
    """A mailbox under `on_demand` that was connected long ago, and whose token has expired."""
    site("on_demand")
    mailbox = connect(seconds_left=-10, connected_at=timezone.now() - 400 * DAY)
    MailCredentials.objects.filter(pk=mailbox.pk).update(refresh_at=timezone.now() + 20 * DAY)
    return stored(mailbox)


class TestACaller:
    def test_gets_a_token_at_once_and_the_next_one_gets_it_from_the_cache(
        self, idle, posts, provider, django_assert_num_queries
    ):
        token = idle.get_access_token()
        assert provider.is_valid_access_token(token.reveal(), idle.email)
        with django_assert_num_queries(0):
            assert MailCredentials.objects.get_access_token(idle.pk) == token
        assert posts(idle) == 1

    def test_leaves_it_idle_under_on_demand(self, idle, posts):
        idle.get_access_token()
        assert waits(idle) > 20 * DAY
        assert sweep().refreshed == 0
        pass_time(2 * HOUR)
        assert sweep().refreshed == 0
        idle.get_access_token()
        assert posts(idle) == 2

    @pytest.mark.parametrize("ask", ["get_access_token", "refresh_now"])
    def test_is_use_and_warms_it_under_recently_used(self, idle, site, ask):
        site("recently_used")
        getattr(idle, ask)()
        assert timezone.now() - stored(idle).last_used_at < timedelta(minutes=1)
        assert waits(idle) < HOUR

    def test_whose_token_a_server_refuses_is_use_too(self, idle, site):
        site("recently_used")
        token = idle.get_access_token()
        MailCredentials.objects.update(last_used_at=None)
        idle.report_rejected(token)
        assert stored(idle).last_used_at is not None

    def test_is_told_what_is_wrong_as_ever(self, idle, provider):
        provider.revoke(idle.email)
        with pytest.raises(ReauthRequired):
            idle.get_access_token()
        assert stored(idle).status == Status.NEEDS_REAUTH
        assert stored(idle).last_used_at is not None

    def test_finds_a_provider_away_and_the_sweep_tries_again(self, idle, provider, posts):
        with provider.fault(Fault.html(503)), pytest.raises(ProviderUnavailable):
            idle.get_access_token()
        assert waits(idle) < HOUR, "somebody waits for it"
        pass_time(HOUR)
        assert sweep().refreshed == 1
        assert waits(idle) > 20 * DAY


def test_a_token_inside_its_margin_is_still_replaced_behind_a_caller(separate_connections, site, connect, posts):
    site("on_demand")
    mailbox = connect(seconds_left=200, connected_at=timezone.now() - 400 * DAY)
    token = mailbox.get_access_token()
    threads.dismiss(10)
    assert posts(mailbox) == 1
    assert stored(mailbox).last_used_at is not None
    assert mailbox.get_access_token() != token
    assert waits(mailbox) > 20 * DAY


def test_what_was_late_keeps_its_new_token_while_others_wait_for_theirs(connect):
    """Their lifetimes differ, as Microsoft's do; an outage has just let them all expire."""
    begun, ended = timezone.now() - 2 * HOUR, timezone.now() - HOUR / 3
    late = [connect(token_issued_at=begun, token_expiry=ended, refresh_at=ended) for _ in range(10)]
    assert sweep().refreshed == 10
    assert all(waits(mailbox) > HOUR - timedelta(minutes=6) - HOUR / 3 for mailbox in late)


class TestTheSweep:
    def test_is_no_use(self, idle, site):
        site("recently_used")
        MailCredentials.objects.update(refresh_at=timezone.now() - HOUR)
        assert sweep().refreshed == 1
        assert stored(idle).last_used_at is None
        assert waits(idle) > 20 * DAY

    def test_lets_a_mailbox_go_idle_when_its_use_was_long_ago(self, site, connect, posts):
        site("recently_used", RECENT_USE_DAYS=1)
        mailbox = connect(connected_at=timezone.now() - 400 * DAY, last_used_at=timezone.now())
        refreshes = []
        for _ in range(30):
            pass_time(HOUR)
            sweep()
            refreshes.append(posts(mailbox))
        assert refreshes[:23] == list(range(1, 24))
        assert refreshes[-1] == refreshes[-5] <= 25
        assert waits(mailbox) > 20 * DAY

    @pytest.mark.parametrize("alias", ["microsoft", "keycloak"])
    def test_keeps_its_grant_alive_for_ever_at_next_to_no_cost(self, idle, connect, alias, posts):
        mailbox = connect(alias, seconds_left=-10, connected_at=timezone.now() - 400 * DAY)
        for _ in range(30):
            pass_time(until_due(10 * DAY, tick=HOUR))
            sweep()
        assert stored(mailbox).status == Status.CONNECTED
        assert 5 <= posts(mailbox) <= 30 * 10 / 21
        assert mailbox.get_access_token()

    def test_comes_before_anybody_is_told_that_the_grant_ends(self, idle, site):
        told = []
        signals.grant_ending.connect(
            lambda credentials, **_: told.append(credentials), weak=False, dispatch_uid="t"
        )
        site("on_demand", microsoft={"GRANT_DAYS": 12}, KEEP_ALIVE_DAYS=100)
        try:
            idle.get_access_token()
            for _ in range(30):
                pass_time(until_due(DAY, tick=HOUR))
                sweep()
                reconcile_cache()
        finally:
            signals.grant_ending.disconnect(dispatch_uid="t")
        assert told == []


class TestAConnection:
    def test_counts_as_use(self, site, connect):
        site("recently_used")
        assert waits(connect()) < HOUR

    def test_may_be_idle_from_the_first_day_on(self, site, connect):
        site("on_demand")
        assert waits(connect()) > 20 * DAY


class TestReconciliation:
    def test_finds_nothing_wrong_with_a_token_that_has_expired(self, idle, locmem_cache):
        assert reconcile_cache(dry_run=True).drift == {}
        assert reconcile_cache().rescheduled == 0

    def test_still_puts_back_a_copy_of_a_valid_one(self, idle, locmem_cache):
        idle.get_access_token()
        cache.clear()
        assert reconcile_cache().drift == {Drift.ABSENT: 1}
        assert reconcile_cache().drift == {}
