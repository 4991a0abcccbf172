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
from mail_oauth.managers.budget import AHEAD, NONE
from mail_oauth.models import CallBudget, MailCredentials
from mail_oauth.testing.faults import Fault
from mail_oauth.upkeep.claiming import Claimer
from mail_oauth.upkeep.sweep import refresh_batch
from tests.concurrency import together

rows = MailCredentials.objects


@pytest.fixture
def claimer(provider) -> Callable[..., Claimer]:
    def make() -> Claimer:
        return Claimer(rows.all(), CallBudget.objects.all(), patience=30)

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

    def test_costs_one_statement_on_postgresql(self, claimer, waiting, django_assert_num_queries):
        waiting("google", 3, 1)
        statements = {"postgresql": 1}.get(connection.vendor, 5)  # elsewhere: savepoint, keys, lease, rows
        with django_assert_num_queries(statements):
            assert len(claimer().claim(3)) == 3


@pytest.mark.django_db(transaction=True)
def test_a_slow_provider_with_a_long_queue_keeps_others_waiting_only_for_a_while(waiting, provider, threads):
    waiting("microsoft", 24, 60)
    quick = waiting("google", 2, 1)
    with provider.fault(Fault.slow(0.3), personality="microsoft"):
        refresh_batch(revoke=retry_revocation, threads=4)
    order = [call.email for call in provider.token_calls("refresh_token")]
    assert len(order) == 26
    assert max(order.index(row.email) for row in quick) < 20


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
        permits = take("google", 10, 100)
        assert permits.number == 10 * AHEAD + 1
        assert permits.every == 0.1
        assert take("google", 10, 1) == NONE
        assert take("microsoft", 10, 1).number == 1, "each has its own"

    def test_of_less_than_one_a_second_lets_one_be_made(self, db):
        assert CallBudget.objects.take("google", 0.01, 5).number == 1
        assert CallBudget.objects.take("google", 0.01, 5) == NONE

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
        begin = [claim.begin_at - now for claim in claims if claim.row.provider == "google"]
        assert begin == pytest.approx([0, 0.25, 0.5, 0.75, 1.0], abs=0.2)
        assert {claim.begin_at for claim in claims if claim.row in others} == {0.0}
        assert sweep.paced
        assert not sweep.drained, "more of it is due, a little later"

    def test_is_shared_by_all_workers(self, claimer, waiting, budget):
        budget(4)
        waiting("google", 20, 60)
        assert len(claimer().claim(3)) == 3
        assert len(claimer().claim(20)) < 4

    def test_costs_nothing_where_there_is_none(self, claimer, waiting):
        waiting("google", 1, 1)
        claimer().claim(1)
        assert not CallBudget.objects.exists()

    def test_counts_calls_that_callers_make_but_keeps_nobody_waiting(self, connect, budget, provider):
        budget(0.001)
        mailboxes = [connect("google", seconds_left=-10) for _ in range(3)]
        provider.clear_calls()
        assert all(mailbox.get_access_token() for mailbox in mailboxes)
        assert len(provider.token_calls("refresh_token")) == 3
        ahead = CallBudget.objects.get().free_at - timezone.now()
        assert ahead > timedelta(seconds=2900)
        assert CallBudget.objects.take("google", 0.001, 1) == NONE, "sweeps wait for them"

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


@pytest.mark.django_db(transaction=True)
def test_many_take_of_a_budget_at_once_and_get_no_more_than_there_is(threads):
    taken = together(8, lambda: sum(CallBudget.objects.take("google", 50, 4).number for _ in range(5)))
    assert sum(taken) <= 50 * (AHEAD + 1) + 1, "what is free within a second, and what became free meanwhile"


def test_threads_end_with_the_sweep():
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mail_oauth")]
