"""What is marked comes into the database: only forward, and without touching anything else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
import redis
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail_oauth.cache import cache_key, write_all
from mail_oauth.models import MailCredentials
from mail_oauth.upkeep.usage import write_uses
from mail_oauth.usage import marks

pytestmark = pytest.mark.django_db


@pytest.fixture
def mark(locmem_cache):
    """Mark a use: `mark(mailbox, moment)`."""

    def make(mailbox: MailCredentials, moment: datetime) -> None:
        write_all({cache_key(mailbox.pk, "used"): b"%d" % moment.timestamp()}, 60)

    return make


def ago(**how: float) -> datetime:
    return (timezone.now() - timedelta(**how)).replace(second=0, microsecond=0)


def last_used(mailbox: MailCredentials) -> datetime | None:
    return MailCredentials.objects.get(pk=mailbox.pk).last_used_at


def flush_uses(pks: Sequence[UUID]) -> int:
    """What reconciliation does with each of its pages."""
    return write_uses(marks(pks))


class TestAFlush:
    def test_writes_what_is_later(self, connect, mark):
        before, other = connect(last_used_at=ago(days=2)), connect()
        never, unused = connect(), connect(last_used_at=ago(days=3))
        mark(before, ago(minutes=5))
        mark(other, ago(minutes=5))
        mark(never, ago(minutes=9) + timedelta(seconds=59))
        assert flush_uses([row.pk for row in (before, other, never, unused)] + [uuid4()]) == 3
        assert last_used(before) == last_used(other) == ago(minutes=5)
        assert last_used(never) == ago(minutes=9), "by whole minutes"
        assert last_used(unused) == ago(days=3)

    def test_never_goes_back(self, connect, mark):
        mailbox = connect(last_used_at=ago(minutes=1))
        mark(mailbox, ago(minutes=5))
        assert flush_uses([mailbox.pk]) == 0
        assert last_used(mailbox) == ago(minutes=1)

    def test_never_goes_back_while_another_one_flushes(self, connect, mark, monkeypatch):
        mailbox, other = connect(last_used_at=ago(days=1)), connect(last_used_at=ago(days=1))
        mark(mailbox, ago(minutes=5))
        mark(other, ago(minutes=4))
        rows = MailCredentials.objects.filter(pk=mailbox.pk)
        values_list = type(rows).values_list

        def overtaken(self, *names):
            found = list(values_list(self, *names))
            rows.update(last_used_at=ago(minutes=2))
            return found

        monkeypatch.setattr(type(rows), "values_list", overtaken)
        assert flush_uses([mailbox.pk, other.pk]) == 1
        assert last_used(mailbox) == ago(minutes=2)
        assert last_used(other) == ago(minutes=4)

    def test_changes_nothing_else(self, connect, mark):
        mailbox = connect()
        mark(mailbox, ago(minutes=5))
        before = MailCredentials.objects.filter(pk=mailbox.pk).values().get()
        flush_uses([mailbox.pk])
        after = MailCredentials.objects.filter(pk=mailbox.pk).values().get()
        assert {name for name in after if after[name] != before[name]} == {"last_used_at"}

    def test_costs_two_statements_whatever_the_page(self, connect, mark):
        mailboxes = [connect() for _ in range(6)]
        for minutes, mailbox in enumerate(mailboxes):
            mark(mailbox, ago(minutes=minutes + 1))
        pks = [mailbox.pk for mailbox in mailboxes]
        for count, statements in ((6, ["SELECT", "UPDATE"]), (0, ["SELECT"])):
            with CaptureQueriesContext(connection) as captured:
                assert flush_uses(pks) == count
            assert [query["sql"].split()[0] for query in captured.captured_queries] == statements

    def test_costs_none_where_nothing_is_marked(self, connect, mark, django_assert_num_queries):
        mailbox = connect()
        with django_assert_num_queries(0):
            assert flush_uses([mailbox.pk]) == 0
            assert flush_uses([]) == 0

    def test_fails_where_the_cache_does(self, connect, redis_cache):
        redis_cache.kill()
        with pytest.raises(redis.ConnectionError):
            flush_uses([connect().pk])

    def test_brings_a_read_into_the_database(self, threads_cache, connect, uses):
        mailbox = connect()
        mailbox.get_access_token()
        uses.finish()
        assert flush_uses([mailbox.pk]) == 1
        assert timezone.now() - last_used(mailbox) < timedelta(minutes=2)


def test_a_row_that_is_saved_keeps_what_was_written_since(connect):
    mailbox = connect()
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    MailCredentials.objects.filter(pk=mailbox.pk).update(last_used_at=moment)
    mailbox.save()
    assert last_used(mailbox) == moment
