"""The cache is made to agree with the table, whatever happened to either."""

from __future__ import annotations

import gc
import tracemalloc
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail_oauth.cache import Header, cache_key, token_cache, write_unless_newer
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.tokens import AccessToken
from mail_oauth.upkeep import pages
from mail_oauth.upkeep.reconcile import ReconcileReport, reconcile_cache

pytestmark = pytest.mark.django_db


def header(row: MailCredentials) -> Header | None:
    return token_cache.headers([row.pk])[row.pk]


def served(row: MailCredentials) -> AccessToken | None:
    return token_cache.get(row.pk)


def change(row: MailCredentials, **columns: Any) -> None:
    """Change the table behind the app's back, as a restored backup does."""
    MailCredentials.objects.filter(pk=row.pk).update(**columns)
    row.refresh_from_db()


def plant(row: MailCredentials, generation: int, *, age: float = 0) -> AccessToken:
    """Put a token of another generation into the cache."""
    now = timezone.now() - timedelta(seconds=age)
    token = AccessToken("planted" * 4, issued_at=now, expires_at=now + timedelta(hours=1), generation=generation)
    assert token_cache.put(row.pk, token)
    return token


@pytest.fixture
def mailbox(connect, shared_cache) -> MailCredentials:
    """A connected mailbox with its copy in the cache."""
    row = connect()
    row.get_access_token()
    return row


@pytest.fixture
def meanwhile(monkeypatch):
    """Runs something just before the walk calls a method of the token cache for the `time`-th time."""

    def run(what: Any, *, before: str = "differing", time: int = 1) -> None:
        times = iter(range(1, 100))
        method = getattr(type(token_cache), before)

        def called(cache: Any, *args: Any) -> Any:
            if next(times) == time:
                what()
            return method(cache, *args)

        monkeypatch.setattr(type(token_cache), before, called)

    return run


class TestNothingIsDoneWhereBothAgree:
    def test_for_a_connected_mailbox(self, mailbox):
        before = header(mailbox)
        report = reconcile_cache()
        assert report == ReconcileReport(walked=1, seconds=report.seconds)
        assert header(mailbox) == before

    def test_for_a_demoted_one(self, mailbox, provider):
        provider.revoke(mailbox.email)
        with pytest.raises(Exception, match="reconnected"):
            mailbox.refresh_now()
        assert reconcile_cache().drift == {}
        assert served(mailbox) is None


class TestEachCauseIsMended:
    def right(self, row: MailCredentials) -> bool:
        """Whether the copy is the row's own token."""
        row.refresh_from_db()
        copy = served(row)
        return copy is not None and copy == row.open_access_token() and copy.generation == row.generation

    def mended(self, cause: str) -> bool:
        report = reconcile_cache()
        assert (report.drift, report.repaired, report.cache_error) == ({cause: 1}, 1, "")
        return reconcile_cache().drift == {}

    def test_absent(self, mailbox):
        token_cache.forget(mailbox.pk)
        assert self.mended("absent")
        assert self.right(mailbox)

    def test_older(self, mailbox):
        change(mailbox, generation=mailbox.generation + 3)
        assert self.mended("older")
        assert self.right(mailbox)

    @pytest.mark.parametrize("status", [Status.CONNECTED, Status.NEEDS_REAUTH])
    def test_newer_as_after_a_backup_was_restored(self, mailbox, status):
        plant(mailbox, mailbox.generation + 5)
        change(mailbox, status=status)
        assert self.mended("newer")
        assert self.right(mailbox) if status == Status.CONNECTED else header(mailbox) == Header(1, 0, 0)

    def test_other_as_after_a_backup_that_counted_up_again(self, mailbox):
        plant(mailbox, mailbox.generation, age=30)
        assert self.mended("other")
        assert self.right(mailbox)

    @pytest.mark.parametrize("ahead", [0, 4])
    def test_buried(self, mailbox, ahead):
        token_cache.forget(mailbox.pk)
        token_cache.bury(mailbox.pk, mailbox.generation + ahead)
        assert self.mended("buried")
        assert self.right(mailbox)

    @pytest.mark.parametrize("columns", [{"status": Status.NEEDS_ADMIN}, {"use_oauth": False}])
    def test_unusable(self, mailbox, columns):
        change(mailbox, **columns)
        assert self.mended("unusable")
        assert served(mailbox) is None
        assert not token_cache.put(mailbox.pk, plant_of(mailbox)), "a tombstone keeps late writers out"

    def test_expired(self, mailbox):
        now = int(timezone.now().timestamp())
        write_unless_newer(
            cache_key(mailbox.pk, "mail"), Header(mailbox.generation, now - 3700, now - 100), b"stale", 600
        )
        assert self.mended("expired")
        assert self.right(mailbox)

    def test_a_stale_copy_of_a_row_without_a_valid_token_is_removed(self, mailbox):
        plant(mailbox, mailbox.generation)
        gone = timezone.now() - timedelta(minutes=1)
        change(mailbox, token_issued_at=gone - timedelta(hours=1), token_expiry=gone)
        assert self.mended("other")
        assert header(mailbox) is None

    def test_an_unreadable_row_is_counted_and_left(self, mailbox, settings):
        token_cache.forget(mailbox.pk)
        settings.FERNET_KEYS = ["another key"]
        report = reconcile_cache()
        assert (report.drift, report.repaired) == ({"absent": 1}, 0)


def plant_of(row: MailCredentials) -> AccessToken:
    now = timezone.now()
    return AccessToken("late", issued_at=now, expires_at=now + timedelta(hours=1), generation=row.generation)


class TestAFlushedRedis:
    def test_is_filled_again_from_the_table(self, connect, redis_cache, django_assert_num_queries):
        rows = [connect() for _ in range(5)]
        for row in rows:
            row.get_access_token()
        redis_cache.flush()
        report = reconcile_cache()
        assert (report.walked, report.drift, report.repaired) == (5, {"absent": 5}, 5)
        with django_assert_num_queries(0):
            assert all(row.get_access_token() == row.open_access_token() for row in rows)

    def test_that_is_down_is_reported_and_the_schedule_mended_all_the_same(self, connect, redis_cache):
        row = connect()
        change(row, refresh_at=None)
        redis_cache.stop()
        report = reconcile_cache()
        assert report.cache_error
        assert (report.walked, report.drift, report.rescheduled) == (1, {}, 1)

    def test_that_is_down_is_asked_once_and_not_at_every_page(self, connect, redis_cache, monkeypatch, meanwhile):
        monkeypatch.setattr(pages, "PAGE", 1)
        [connect() for _ in range(3)]
        redis_cache.stop()
        meanwhile(lambda: pytest.fail("it was asked again"))
        assert reconcile_cache().walked == 3


class TestARefreshMeanwhile:
    """The walk reads a page, then the cache; a refresh may commit and publish in between."""

    def test_is_no_drift_and_keeps_its_copy(self, mailbox, meanwhile):
        meanwhile(mailbox.refresh_now)
        assert reconcile_cache().drift == {}
        assert served(mailbox).generation == 2

    def test_is_not_overwritten_with_an_older_copy(self, mailbox, meanwhile):
        token_cache.forget(mailbox.pk)
        reader = MailCredentials.objects.get(pk=mailbox.pk)
        meanwhile(reader.refresh_now)
        reconcile_cache()
        assert served(mailbox).generation == 2

    def test_a_tombstone_since_is_left_where_it_stands(self, mailbox, meanwhile):
        plant(mailbox, 5)
        meanwhile(lambda: token_cache.bury(mailbox.pk, 6), before="forget_many")
        report = reconcile_cache()
        assert (report.drift, report.repaired) == ({"newer": 1}, 0)
        assert header(mailbox) == Header(6, 0, 0)

    def test_a_mailbox_deleted_since_is_passed_over(self, mailbox, meanwhile):
        token_cache.forget(mailbox.pk)
        meanwhile(MailCredentials.objects.all().delete)
        assert reconcile_cache().drift == {}
        assert header(mailbox) is None


class TestTheScheduleIsMended:
    def test_a_mailbox_that_fell_out_of_it_gets_its_place(self, connect):
        row, unusable, paused = connect(), connect(), connect()
        change(row, refresh_at=None)
        change(unusable, refresh_at=None, status=Status.NEEDS_REAUTH)
        change(paused, refresh_at=None, use_oauth=False)
        assert reconcile_cache().rescheduled == 1
        row.refresh_from_db()
        assert timezone.now() < row.refresh_at < row.token_expiry
        assert MailCredentials.objects.filter(refresh_at=None).count() == 2

    def test_one_without_a_refresh_token_stays_out(self, connect):
        change(connect(), refresh_at=None, refresh_token=None)
        assert reconcile_cache().rescheduled == 0

    def test_a_lease_that_ended_long_ago_is_cleared(self, connect):
        row = connect(seconds_left=60)
        MailCredentials.objects.claim_due(1)
        change(row, refresh_at=timezone.now() - timedelta(minutes=5))
        assert reconcile_cache().dead_leases == 1
        row.refresh_from_db()
        assert row.lease_owner == ""


def test_a_dry_run_counts_and_changes_nothing(connect, shared_cache):
    absent, newer, lost, dead = connect(), connect(), connect(), connect(seconds_left=60)
    for row in (newer, lost, dead):
        token_cache.put(row.pk, row.open_access_token())
    plant(newer, 9)
    MailCredentials.objects.claim_due(1)
    change(dead, refresh_at=timezone.now() - timedelta(minutes=5))
    change(lost, refresh_at=None)
    report = reconcile_cache(dry_run=True)
    assert report.drift == {"absent": 1, "newer": 1}
    assert (report.repaired, report.rescheduled, report.dead_leases, report.dry_run) == (0, 1, 1, True)
    assert header(absent) is None
    assert header(newer).generation == 9
    assert MailCredentials.objects.get(pk=lost.pk).refresh_at is None
    assert MailCredentials.objects.get(pk=dead.pk).lease_owner


class TestTheWalk:
    @pytest.fixture
    def many(self, user):
        """Makes so many mailboxes without tokens."""

        def make(number: int) -> None:
            later = timezone.now() + timedelta(hours=1)
            MailCredentials.objects.bulk_create(
                [
                    MailCredentials(
                        user=user, provider="microsoft", email=f"{uuid4()}@example.com", refresh_at=later
                    )
                    for _ in range(number)
                ],
                batch_size=200,
            )

        return make

    def test_reads_pages_and_no_token(self, mailbox, many, monkeypatch):
        many(11)
        monkeypatch.setattr(pages, "PAGE", 5)
        seen: list[int] = []
        with CaptureQueriesContext(connection) as queries:
            assert reconcile_cache(progress=seen.append).walked == 12
        statements = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
        assert len(statements) == 3 + 3, "dead leases, brakes, the schedule, and one for each page"
        assert seen == [5, 10, 12]
        columns = [sql.partition("FROM")[0] for sql in statements]
        assert not any('access_token"' in sql or 'refresh_token"' in sql for sql in columns)
        assert not any("OFFSET" in sql for sql in statements)

    @pytest.mark.parametrize(("limit", "walked"), [(0, 0), (3, 3), (5, 5), (7, 7), (100, 12)])
    def test_stops_at_its_limit(self, many, monkeypatch, limit, walked):
        many(12)
        monkeypatch.setattr(pages, "PAGE", 5)
        assert reconcile_cache(limit=limit).walked == walked

    def test_needs_no_more_memory_for_more_rows(self, many, monkeypatch):
        monkeypatch.setattr(pages, "PAGE", 100)

        def peak() -> int:
            gc.collect()
            tracemalloc.start()
            reconcile_cache()
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            return most

        many(300)
        reconcile_cache()
        few = peak()
        many(3000)
        assert peak() < few + 3000 * 50, "one row's state alone is some hundred bytes"
