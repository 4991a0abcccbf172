"""Due mailboxes are refreshed: once each, whatever fails, and within the time that was given."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail_oauth.conf import app_settings
from mail_oauth.connect.disconnect import retry_revocation
from mail_oauth.exceptions import TransactionHeld
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.testing.faults import Fault
from mail_oauth.upkeep.claiming import Claimed
from mail_oauth.upkeep.crew import Crew
from mail_oauth.upkeep.sweep import Sweep, SweepReport, batches_wanted, refresh_batch
from tests.mailboxes import stored


def sweep(**options: Any) -> SweepReport:
    return refresh_batch(**{"revoke": retry_revocation, **options})


def refreshes(provider, rows) -> list[int]:
    """How often the provider was asked to refresh each of `rows`."""
    return [len(provider.token_calls("refresh_token", email=row.email)) for row in rows]


def leased() -> int:
    return MailCredentials.objects.exclude(lease_owner="").count()


@pytest.mark.django_db
class TestWhatIsDueIsRefreshed:
    def test_and_saved_and_scheduled_again(self, due, provider):
        rows = due(3)
        report = sweep()
        assert (report.refreshed, report.ended, report.ok) == (3, "done", True)
        for old in rows:
            new = stored(old)
            assert new.generation == old.generation + 1
            assert new.refresh_at > timezone.now()
            assert provider.is_valid_access_token(new.open_access_token().reveal(), old.email)
            assert new.open_refresh_token().reveal() == provider.newest_refresh_token(old.email)
        assert leased() == 0

    def test_and_what_is_not_due_is_left_alone(self, due, connect, provider):
        due(1)
        later = connect()
        assert sweep().refreshed == 1
        assert refreshes(provider, [later]) == [0]

    def test_and_a_second_sweep_finds_nothing(self, due, provider):
        rows = due(2)
        assert sweep().refreshed == 2
        again = sweep()
        assert again == SweepReport(seconds=again.seconds)
        assert refreshes(provider, rows) == [1, 1]

    def test_and_what_another_worker_holds_is_left_to_it(self, due, provider):
        rows = due(3)
        theirs = MailCredentials.objects.claim_due(2)
        assert sweep().refreshed == 1
        assert sum(refreshes(provider, rows)) == 1
        assert refreshes(provider, theirs) == [0, 0]

    def test_also_what_a_dead_worker_held(self, due, provider):
        rows = due(2)
        MailCredentials.objects.claim_due(2)
        lease_ended = timezone.now() - timedelta(seconds=1)
        MailCredentials.objects.update(refresh_at=lease_ended)
        assert sweep().refreshed == 2
        assert refreshes(provider, rows) == [1, 1]

    @pytest.mark.parametrize("size", [1, 2, 100])
    def test_also_more_than_one_claim_takes(self, due, size):
        due(7)
        assert sweep(size=size, threads=2).refreshed == 7

    def test_and_the_last_ones_cost_no_claim_each_that_finds_nothing(self, due):
        due(6)
        with CaptureQueriesContext(connection) as queries:
            assert sweep(threads=4).refreshed == 6
        claims = [query for query in queries if " ASC LIMIT " in query["sql"]]
        assert len(claims) == 2, "one that takes all six, and one that finds nothing more"

    def test_and_a_mailbox_without_anything_to_do_leaves_the_schedule(self, due, provider):
        paused, refused = due(2)
        MailCredentials.objects.filter(pk=paused.pk).update(use_oauth=False)
        MailCredentials.objects.filter(pk=refused.pk).update(status=Status.NEEDS_REAUTH)
        assert sweep().unscheduled == 2
        assert refreshes(provider, [paused, refused]) == [0, 0]
        assert stored(paused).refresh_at is None
        assert leased() == 0

    def test_and_a_grant_that_was_not_revoked_is_handed_on(self, due):
        row, other = due(2)
        MailCredentials.objects.filter(pk=row.pk).update(status=Status.DISCONNECTED)
        handed_on: list[MailCredentials] = []
        report = sweep(revoke=handed_on.append)
        assert (report.revocations, report.refreshed) == (1, 1)
        assert [each.pk for each in handed_on] == [row.pk]
        assert stored(other).status == Status.CONNECTED


class TestSweepsAtOnce:
    """Beats may be doubled and workers many: each mailbox is refreshed once."""

    def test_share_the_work_and_never_do_it_twice(self, separate_connections, due, provider):
        rows = due(24)
        reports: list[SweepReport] = []

        def run() -> None:
            try:
                reports.append(sweep(size=4, threads=3))
            finally:
                connections.close_all()

        with provider.fault(Fault.slow(0.03)):
            workers = [threading.Thread(target=run) for _ in range(3)]
            [worker.start() for worker in workers]
            [worker.join() for worker in workers]
        assert sum(report.refreshed for report in reports) == 24
        assert refreshes(provider, rows) == [1] * 24
        assert all(report.ok for report in reports)
        assert leased() == 0


@pytest.mark.django_db
class TestOneFailureStopsNobodyElse:
    def test_of_the_provider(self, due, provider):
        rows = due(5)
        with provider.fault(Fault.html(502), email=rows[2].email):
            report = sweep()
        assert (report.refreshed, report.failed, report.ok) == (4, 1, False)
        failed = stored(rows[2])
        assert (failed.refresh_failures, failed.lease_owner) == (1, "")
        assert failed.refresh_at > timezone.now()

    def test_of_the_grant(self, due, provider):
        rows = due(3)
        provider.revoke(rows[0].email)
        assert (sweep().refreshed, stored(rows[0]).status) == (2, Status.NEEDS_REAUTH)

    def test_of_our_own_code(self, due, caplog):
        broken, *_ = due(3)
        MailCredentials.objects.filter(pk=broken.pk).update(status=Status.DISCONNECTED)

        def fail(row: MailCredentials) -> None:
            raise RuntimeError("a bug")

        report = sweep(revoke=fail)
        assert (report.refreshed, report.broken, report.ok) == (2, 1, False)
        [record] = [record for record in caplog.records if record.levelname == "ERROR"]
        assert record.mailbox == str(broken.pk)
        # The lease is kept, and with it a pause; it ends by itself.
        assert stored(broken).lease_owner
        assert stored(broken).refresh_at > timezone.now()


@pytest.mark.django_db
class TestASweepEnds:
    def everything_is_free_and_due_or_done(self, rows, done: int) -> None:
        assert leased() == 0
        assert sum(stored(row).generation > row.generation for row in rows) == done
        assert MailCredentials.objects.due().count() == len(rows) - done

    def test_when_its_time_is_over(self, due, provider):
        rows = due(40)
        begun = time.monotonic()
        with provider.fault(Fault.slow(0.2)):
            report = sweep(seconds=0.5, threads=2)
        assert report.ended == "time"
        assert time.monotonic() - begun < 3
        assert 1 <= report.refreshed < 40
        self.everything_is_free_and_due_or_done(rows, report.refreshed)

    def test_when_the_worker_is_told_to_stop(self, due):
        rows = due(40)
        answers = iter([False, True, True])
        report = sweep(threads=2, stopped=lambda: next(answers))
        assert report.ended == "stopped"
        assert 2 <= report.refreshed <= 4
        self.everything_is_free_and_due_or_done(rows, report.refreshed)

    @pytest.mark.parametrize("error", [SoftTimeLimitExceeded, SystemExit, KeyboardInterrupt])
    def test_orderly_when_a_signal_strikes(self, separate_connections, due, provider, error):
        """What runs is finished and saved, what was not begun is given back, and the exception goes on."""
        rows = due(12)

        def strike(*_: object) -> None:
            raise error

        before = signal.signal(signal.SIGALRM, strike)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with provider.fault(Fault.slow(0.6)), pytest.raises(error):
                sweep(threads=3)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert sum(refreshes(provider, rows)) == 3
        self.everything_is_free_and_due_or_done(rows, 3)

    def test_before_it_begins_where_nothing_could_be_saved_first(self, due):
        due(1)
        with transaction.atomic(), pytest.raises(TransactionHeld):
            sweep()
        assert sweep().refreshed == 1


@pytest.mark.django_db
class TestNoMoreIsHeldThanALeaseSufficesFor:
    @pytest.mark.parametrize(
        ("lease", "total", "held"),
        [(60, 20, 16), (60, 10, 24), (600, 20, 176), (30, 20, 8), (20, 20, 8)],
    )
    def test_even_if_every_provider_is_silent(self, settings, lease, total, held):
        settings.MAIL_OAUTH = {"LEASE_SECONDS": lease, "TOTAL_TIMEOUT": total}
        assert Sweep(MailCredentials.objects, revoke=retry_revocation, threads=8, size=100).most_held == held

    def test_and_what_came_too_late_is_not_begun(self, due, provider):
        """As after a process was suspended: another worker may hold the mailbox by now."""
        [row] = due(1)
        [claimed] = MailCredentials.objects.claim_due(1)
        late = Sweep(MailCredentials.objects, revoke=retry_revocation, threads=1, size=1)
        assert late._settle(Claimed(claimed, time.monotonic() - 1, may_be_parked=False)) == "given_back"
        assert refreshes(provider, [row]) == [0]
        assert MailCredentials.objects.due().get() == row

    def test_nor_taken_from_who_holds_it_by_then(self, due):
        due(1)
        [stale] = MailCredentials.objects.claim_due(1)
        MailCredentials.objects.update(refresh_at=timezone.now() - timedelta(seconds=1))
        [theirs] = MailCredentials.objects.claim_due(1)
        assert MailCredentials.objects.give_back([stale]) == 0
        assert stored(stale).lease_owner == theirs.lease_owner


@pytest.mark.django_db
class TestBatchesWanted:
    @pytest.mark.parametrize(("number", "batches"), [(0, 0), (1, 1), (2, 1), (3, 2), (9, 3)])
    def test_as_many_as_the_due_mailboxes_are_worth(self, due, settings, number, batches):
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "BATCH_SIZE": 2, "BATCH_TASKS": 3}
        due(number)
        assert batches_wanted() == batches

    def test_without_counting_further_than_it_must(self, due, django_assert_num_queries):
        due(1)
        with django_assert_num_queries(1) as queries:
            batches_wanted()
        limit = app_settings().batch_size * app_settings().batch_tasks
        assert f"LIMIT {limit}" in queries[0]["sql"]


class TestACrew:
    @pytest.fixture
    def crew_of(self) -> Iterator[Callable[..., Crew[Any, Any]]]:
        """Makes crews, and ends their threads also where the test fails."""
        made: list[Crew[Any, Any]] = []

        def make(work: Callable[[Any], Any], size: int) -> Crew[Any, Any]:
            made.append(Crew(work, size))
            return made[-1]

        yield make
        for crew in made:
            crew.dismiss()

    def test_closes_its_connections(self, separate_connections, crew_of):
        seen: set[Any] = set()

        def work(number: int) -> int:
            time.sleep(0.05)
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            seen.add(connections["default"])
            return number

        crew = crew_of(work, 3)
        crew.give(range(6))
        assert sorted(crew.wait() for _ in range(6)) == list(range(6))
        assert crew.dismiss() == ([], [])
        assert len(seen) == 3
        assert all(each.connection is None for each in seen)

    def test_starts_no_more_threads_than_there_is_work(self, crew_of):
        before = threading.active_count()
        crew = crew_of(time.sleep, 8)
        for _ in range(3):
            crew.give([0.01])
            crew.wait()
        assert threading.active_count() == before + 1

    def test_takes_back_what_it_had_not_begun(self, crew_of):
        crew = crew_of(lambda seconds: time.sleep(seconds) or seconds, 1)
        crew.give([0.2, 0.3, 0.4])
        time.sleep(0.1)
        assert crew.dismiss() == ([0.3, 0.4], [0.2])
        assert "mail_oauth-upkeep" not in {thread.name for thread in threading.enumerate()}
