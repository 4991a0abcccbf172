"""What became of refreshes is counted by five minutes, provider and outcome, whoever does them, and cheaply."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail_oauth.connect.disconnect import retry_revocation
from mail_oauth.exceptions import MailboxError
from mail_oauth.managers import counts
from mail_oauth.managers.counts import RefreshCountQuerySet, Tally, slot_of, tally
from mail_oauth.managers.vocabulary import CountedOutcome
from mail_oauth.models import RefreshCount
from mail_oauth.refresh.classification import Action
from mail_oauth.refresh.verdicts import Verdict
from mail_oauth.testing.faults import Fault
from mail_oauth.upkeep.sweep import refresh_batch
from tests.concurrency import together

pytestmark = pytest.mark.django_db

GRANTED = Verdict(action=Action.GRANTED)


def counted() -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for provider, outcome, number in RefreshCount.objects.values_list("provider", "outcome", "number"):
        found[provider, outcome] += number
    return found


def test_a_sweep_counts_all_of_it_by_a_statement_for_each_outcome(due, provider, monkeypatch):
    monkeypatch.setattr(counts, "FLUSH_SECONDS", 1000)
    rows = due(5)
    provider.fail_next(1, Fault.html(503), email=rows[0].email)
    provider.fail_next(1, Fault.oauth_error("invalid_grant"), email=rows[1].email)
    with CaptureQueriesContext(connection) as captured:
        refresh_batch(revoke=retry_revocation, threads=0)
    assert counted() == {
        ("microsoft", "granted"): 3,
        ("microsoft", "retry"): 1,
        ("microsoft", "reauth"): 1,
    }
    table = RefreshCount._meta.db_table
    writes = [query["sql"] for query in captured if table in query["sql"]]
    assert len(writes) <= 8, "at the first outcome, and at the end: an UPDATE, and an INSERT where nothing stood"


def test_a_caller_is_counted_too(connect, provider):
    mailbox = connect(seconds_left=-10)
    mailbox.get_access_token()
    assert counted() == {("microsoft", "granted"): 1}


def test_what_is_not_called_is_not_counted(due, provider):
    due(3)
    with provider.fault(Fault.rate_limited("100")):
        refresh_batch(revoke=retry_revocation, threads=0)
    assert counted() == {("microsoft", "retry"): 1}, "the others were held"


def test_every_action_has_its_outcome():
    for action in Action:
        tally.add("a", Verdict(action=action))
    tally.flush(RefreshCount.objects.all())
    outcomes = {outcome for _, outcome in counted()}
    assert outcomes == set(CountedOutcome.values)
    assert counted()["a", "operator"] == 2, "our bugs are the operator's to see"


def test_a_slot_begins_at_a_round_five_minutes():
    assert slot_of(datetime(2026, 3, 29, 1, 59, 59, 999999, UTC)) == datetime(2026, 3, 29, 1, 55, tzinfo=UTC)
    assert slot_of(datetime(2026, 3, 29, 2, 0, tzinfo=UTC)) == datetime(2026, 3, 29, 2, 0, tzinfo=UTC)


def test_counts_add_up(db):
    for _ in range(3):
        tally.add("a", GRANTED)
        tally.flush(RefreshCount.objects.all())
    assert counted() == {("a", "granted"): 3}
    assert RefreshCount.objects.count() == 1


def test_what_cannot_be_added_is_kept(monkeypatch):
    mine, rows = Tally(), RefreshCount.objects.all()
    mine.add("a", GRANTED)
    mine.add("b", GRANTED)
    real = RefreshCountQuerySet.add

    def fails_for_b(self, key, number):
        if key[1] == "b":
            raise DatabaseError("away")
        real(self, key, number)

    monkeypatch.setattr(RefreshCountQuerySet, "add", fails_for_b)
    with pytest.raises(DatabaseError):
        mine.flush(rows)
    monkeypatch.undo()
    mine.flush(rows)
    assert counted() == {("a", "granted"): 1, ("b", "granted"): 1}


def test_a_refresh_does_not_fail_because_it_cannot_be_counted(connect, monkeypatch):
    def fails(*_):
        raise DatabaseError("away")

    monkeypatch.setattr(RefreshCountQuerySet, "add", fails)
    assert connect(seconds_left=-10).get_access_token()


def test_a_sweep_does_not_fail_because_it_cannot_be_counted(due, monkeypatch):
    def fails(*_):
        raise DatabaseError("away")

    due(2)
    monkeypatch.setattr(RefreshCountQuerySet, "add", fails)
    assert refresh_batch(revoke=retry_revocation, threads=0).refreshed == 2


def test_successes_of_a_window_are_those_written_and_those_still_to_be(connect, provider):
    since = timezone.now() - timedelta(minutes=10)
    RefreshCount.objects.add((slot_of(since), "a", "granted"), 5)
    RefreshCount.objects.add((slot_of(since - timedelta(minutes=5)), "a", "granted"), 7)
    RefreshCount.objects.add((slot_of(since), "a", "retry"), 9)
    tally.add("a", GRANTED)
    assert RefreshCount.objects.granted_since("a", since) == 5
    assert tally.granted_since("a", since) == 1


@pytest.mark.django_db(transaction=True)
def test_many_processes_count_into_one_row(separate_connections):
    key = (slot_of(timezone.now()), "a", "granted")
    together(8, lambda: [RefreshCount.objects.add(key, 1) for _ in range(5)])
    assert RefreshCount.objects.get().number == 40


def test_failures_of_a_caller_are_counted(connect, provider):
    mailbox = connect(seconds_left=-10)
    provider.revoke(mailbox.email)
    with pytest.raises(MailboxError):
        mailbox.get_access_token()
    assert counted() == {("microsoft", "reauth"): 1}
