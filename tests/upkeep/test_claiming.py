"""A sweep claims what falls due first, but lets no provider crowd the others out, and keeps to budgets of calls."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from mail_oauth.connect.disconnect import retry_revocation
from mail_oauth.exceptions import ProviderUnavailable
from mail_oauth.managers.budget import AHEAD, CALLERS_AHEAD, CallBudgetQuerySet, Permits
from mail_oauth.managers.health import board
from mail_oauth.managers.transitions import Transitions
from mail_oauth.models import CallBudget, MailCredentials, ProviderHealth
from mail_oauth.refresh.classification import Trouble
from mail_oauth.testing.faults import Fault
from mail_oauth.upkeep.claiming import Claimer
from mail_oauth.upkeep.sweep import refresh_batch
from tests.concurrency import together

rows = MailCredentials.objects


@pytest.fixture
def claimer(provider) -> Callable[..., Claimer]:
    def make() -> Claimer:
        return Claimer(rows.all(), Transitions(rows).lanes, patience=30)

    return make


@pytest.fixture
def waiting(connect, provider) -> Callable[..., list[MailCredentials]]:
    """Makes so many due mailboxes of a provider, the first of them due for so many minutes."""

    def make(alias: str, number: int, minutes: float) -> list[MailCredentials]:
        since = timezone.now() - timedelta(minutes=minutes)
        provider.clear_calls()
        return [connect(alias, refresh_at=since + timedelta(seconds=each)) for each in range(number)]

    return make


def aliases(claims) -> Counter[str]:
    return Counter(claim.row.provider for claim in claims)


@pytest.mark.django_db
class TestWhatIsClaimedFirst:
    def test_is_what_fell_due_first_whosever_it_is(self, claimer, waiting):
        late, later = waiting("google", 3, 10), waiting("microsoft", 3, 20)
        claims = claimer().claim(4)
        assert [claim.row for claim in claims] == [*later, late[0]]

    def test_is_in_part_of_others_while_one_has_a_long_queue(self, claimer, waiting):
        waiting("microsoft", 20, 60)
        waiting("google", 2, 1)
        sweep = claimer()
        assert aliases(sweep.claim(4)) == {"microsoft": 4}
        assert aliases(sweep.claim(4)) == {"google": 1, "microsoft": 3}
        assert aliases(sweep.claim(4)) == {"google": 1, "microsoft": 3}
        assert aliases(sweep.claim(4)) == {"microsoft": 4}, "no room is kept for nobody"

    def test_is_in_turn_again_when_one_has_most_no_more(self, claimer, waiting):
        waiting("microsoft", 12, 60)
        waiting("google", 4, 1)
        sweep = claimer()
        for claim in sweep.claim(4):
            sweep.done(claim.row)
        assert aliases(sweep.claim(4)) == {"microsoft": 4}

    def test_knows_when_nothing_is_left(self, claimer, waiting):
        waiting("google", 3, 1)
        sweep = claimer()
        sweep.claim(3)
        assert not sweep.drained
        assert sweep.claim(3) == []
        assert sweep.drained

    def test_costs_one_statement_on_postgresql_and_a_look_at_the_lanes(
        self, claimer, waiting, django_assert_num_queries
    ):
        waiting("google", 3, 1)
        statements = {"postgresql": 2}.get(connection.vendor, 6)  # elsewhere: savepoint, keys, lease, rows
        with django_assert_num_queries(statements):
            assert len(claimer().claim(3)) == 3


@pytest.mark.django_db(transaction=True)
def test_a_slow_provider_with_a_long_queue_keeps_others_waiting_only_for_a_while(
    waiting, provider, separate_connections
):
    waiting("microsoft", 24, 60)
    quick = waiting("google", 2, 1)
    with provider.fault(Fault.slow(0.3), personality="microsoft"):
        refresh_batch(revoke=retry_revocation, threads=4)
    order = [call.email for call in provider.token_calls("refresh_token")]
    assert len(order) == 26
    assert max(order.index(row.email) for row in quick) < 20
    threads_left = [thread.name for thread in threading.enumerate()]
    assert not {"mail_oauth-upkeep", "mail_oauth-commit"} & set(threads_left), "a sweep leaves no thread behind"


@pytest.mark.django_db
class TestABudgetOfCalls:
    @pytest.fixture
    def budget(self, provider, settings):
        def set_(rate: float) -> None:
            providers = settings.MAIL_OAUTH["PROVIDERS"]
            google = {**providers["google"], "CALLS_PER_SECOND": rate}
            settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROVIDERS": {**providers, "google": google}}

        return set_

    def test_lets_so_many_calls_be_made_and_no_more(self, db):
        take = CallBudget.objects.take
        permits = take("google", 0.5, 100, ahead=10)
        assert permits.number == 0.5 * 10 + 1
        assert permits.every == 2
        assert take("google", 0.5, 1, ahead=10).number == 0
        assert take("microsoft", 0.5, 1).number == 1, "each has its own"

    def test_of_less_than_one_a_second_lets_one_be_made(self, db):
        assert CallBudget.objects.take("google", 0.01, 5).number == 1
        assert CallBudget.objects.take("google", 0.01, 5).number == 0

    def test_is_not_saved_up(self, db):
        CallBudget.objects.create(provider="google", free_at=timezone.now() - timedelta(hours=1))
        assert CallBudget.objects.take("google", 10, 100).number == 11

    def test_has_given_back_what_was_not_needed(self, db):
        permits = CallBudget.objects.take("google", 10, 8)
        CallBudget.objects.give_back("google", permits, 8)
        assert CallBudget.objects.take("google", 10, 8).number == 8

    def test_claims_at_its_pace(self, claimer, waiting, budget):
        budget(4)
        waiting("google", 20, 60)
        others = waiting("microsoft", 2, 1)
        now, sweep = time.monotonic(), claimer()
        claims = sweep.claim(20)
        assert aliases(claims) == {"google": 5, "microsoft": 2}
        first, *others_of_it = [claim.begin_at for claim in claims if claim.row.provider == "google"]
        assert first >= now
        assert [moment - first for moment in others_of_it] == pytest.approx([0.25, 0.5, 0.75, 1.0])
        assert {claim.begin_at for claim in claims if claim.row in others} == {0.0}
        assert sweep.pause == pytest.approx(0.25)
        assert not sweep.drained, "more of it is due, a little later"

    def test_is_shared_by_all_workers(self, claimer, waiting, budget):
        budget(0.5)
        waiting("google", 20, 60)
        assert len(claimer().claim(20)) == 1
        assert len(claimer().claim(20)) <= 1
        assert rows.exclude(lease_owner="").count() <= 2

    def test_costs_nothing_where_there_is_none(self, claimer, waiting):
        waiting("google", 1, 1)
        claimer().claim(1)
        assert not CallBudget.objects.exists()

    def test_lets_callers_go_before_sweeps(self, connect, budget, provider):
        budget(10)
        mailboxes = [connect("google", seconds_left=-10) for _ in range(4)]
        provider.clear_calls()
        begun = time.monotonic()
        assert all(mailbox.get_access_token() for mailbox in mailboxes)
        assert time.monotonic() - begun >= 0.3, "each at its moment"
        CallBudget.objects.update(free_at=timezone.now() + timedelta(seconds=3))
        assert CallBudget.objects.take("google", 2, 1).number == 0, "sweeps do not see that far"
        assert CallBudget.objects.spend("google", 2).number == 1, "but callers do"

    def test_tells_callers_when_to_come_back_whose_moment_is_too_far(self, connect, budget, provider):
        budget(0.05)
        first, second = (connect("google", seconds_left=-10) for _ in range(2))
        provider.clear_calls()
        assert first.get_access_token()
        with pytest.raises(ProviderUnavailable) as caught:
            second.get_access_token()
        assert caught.value.reason == "call_budget"
        assert caught.value.retry_after > CALLERS_AHEAD
        assert len(provider.token_calls("refresh_token")) == 1
        row = rows.get(pk=second.pk)
        assert (row.lease_owner, row.refresh_failures) == ("", 0)
        assert row.refresh_at > timezone.now(), "the sweep takes it when there is room"

    def test_costs_a_held_lane_no_trial(self, connect, budget, provider):
        """Who is sent away for the budget must not have taken the one trial of a lane whose pause is over."""
        budget(0.05)
        ProviderHealth.objects.hold("google", "", Trouble.OUTAGE, reason="http_503", seconds=-1)
        board.forget()
        CallBudget.objects.create(provider="google", free_at=timezone.now() + timedelta(minutes=1))
        before = ProviderHealth.objects.get().held_until
        with pytest.raises(ProviderUnavailable, match="call_budget"):
            connect("google", seconds_left=-10).get_access_token()
        assert ProviderHealth.objects.get().held_until == before

    def test_is_spent_by_callers_however_many_take_of_it(self, monkeypatch):
        """Whoever loses each compare-and-swap against others is not sent away for that."""
        monkeypatch.setattr(CallBudgetQuerySet, "take", lambda *_, **__: Permits(0, 0.5))
        CallBudget.objects.create(provider="google", free_at=timezone.now())
        assert CallBudget.objects.spend("google", 1).number == 1

    def test_is_kept_by_a_sweep(self, waiting, budget, provider):
        budget(10)
        waiting("google", 12, 60)
        begun = time.monotonic()
        report = refresh_batch(revoke=retry_revocation, threads=0)
        assert report.refreshed == 12
        assert time.monotonic() - begun >= 1.0, "eleven in the first second, one after it"

    def test_ends_a_sweep_in_time(self, waiting, budget, provider):
        budget(0.1)
        waiting("google", 5, 60)
        report = refresh_batch(revoke=retry_revocation, threads=0, seconds=0.5)
        assert report.refreshed == 1
        assert rows.due().count() == 4


@pytest.mark.django_db
class TestAnAppThatIsHeld:
    def test_is_not_claimed_for(self, claimer, waiting, provider, settings):
        waiting("google", 3, 10)
        others = waiting("microsoft", 2, 1)
        before = dict(rows.values_list("pk", "refresh_at"))
        ProviderHealth.objects.hold("google", "", Trouble.OUTAGE, reason="http_503", seconds=60)
        board.forget()
        sweep = claimer()
        assert [claim.row for claim in sweep.claim(5)] == others
        assert sweep.drained
        held = rows.filter(provider="google")
        assert {row.refresh_at for row in held} == {before[row.pk] for row in held}, "and not a row was written"

    def test_is_tried_when_its_pause_is_over(self, claimer, waiting):
        waiting("google", 3, 10)
        ProviderHealth.objects.hold("google", "", Trouble.OUTAGE, reason="http_503", seconds=-1)
        board.forget()
        assert len(claimer().claim(5)) == 3

    def test_is_claimed_for_under_the_brake(self, claimer, waiting):
        waiting("google", 3, 10)
        ProviderHealth.objects.hold("google", "", Trouble.REAUTH, reason="x", seconds=60)
        board.forget()
        assert len(claimer().claim(5)) == 3


@pytest.mark.django_db(transaction=True)
def test_many_take_of_a_budget_at_once_and_get_no_more_than_there_is(separate_connections):
    begun = time.monotonic()
    taken = together(8, lambda: sum(CallBudget.objects.take("google", 50, 4).number for _ in range(5)))
    seconds = time.monotonic() - begun
    assert sum(taken) <= 50 * (AHEAD + seconds) + 1, "what is free within a second, and what became free meanwhile"
