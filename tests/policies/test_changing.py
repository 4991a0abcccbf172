"""A policy that is changed takes effect without anybody touching rows: warm by the next reconciliation, idle by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail_oauth.choices import Policy
from mail_oauth.managers.keeping import keeping_of
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.refresh.keeping import due_at
from mail_oauth.upkeep import schedule
from mail_oauth.upkeep.reconcile import reconcile_cache
from mail_oauth.upkeep.schedule import mend_schedule, set_policy
from tests.losses.passing import pass_time, sweep
from tests.policies.mailboxes import DAY, HOUR, stored, waits

pytestmark = pytest.mark.django_db


@pytest.fixture
def sleeper(site, connect):
    """Make mailboxes under `on_demand` whose tokens expired days ago."""

    def make(alias: str = "microsoft", **columns) -> MailCredentials:
        ago = timezone.now() - 5 * DAY
        times = {"token_issued_at": ago - HOUR, "token_expiry": ago, "refresh_at": timezone.now() + 20 * DAY}
        return connect(alias, connected_at=timezone.now() - 400 * DAY, **{**times, **columns})

    site("on_demand")
    return make


class TestWhatBecomesWarm:
    def test_by_the_setting_comes_back_within_the_life_of_a_token(self, sleeper, site, provider):
        mailbox = sleeper()
        site("always")
        assert reconcile_cache().rescheduled == 1
        assert -timedelta(minutes=1) < waits(mailbox) < HOUR
        assert reconcile_cache().rescheduled == 0
        pass_time(HOUR)
        assert sweep().refreshed == 1
        assert waits(mailbox) < HOUR

    def test_by_its_providers_option_leaves_others_alone(self, sleeper, site):
        chosen, other = sleeper("google"), sleeper()
        site("on_demand", google={"REFRESH_POLICY": "always"})
        assert reconcile_cache().rescheduled == 1
        assert waits(chosen) < HOUR
        assert waits(other) > 19 * DAY

    def test_by_its_own_column_whoever_wrote_it(self, sleeper):
        mailbox = sleeper()
        mailbox.refresh_policy = "always"
        mailbox.save()
        assert reconcile_cache().rescheduled == 1
        assert waits(mailbox) < HOUR

    def test_by_use_that_was_marked_after_its_last_refresh(self, sleeper, site):
        """Its token was valid while it was used, so nobody refreshed it."""
        site("recently_used")
        mailbox = sleeper(token_issued_at=timezone.now(), token_expiry=timezone.now() + HOUR)
        MailCredentials.objects.update(last_used_at=timezone.now())
        assert reconcile_cache().rescheduled == 1
        assert timezone.now() < stored(mailbox).refresh_at < stored(mailbox).token_expiry

    def test_comes_in_many_minutes_and_not_in_one(self, sleeper, site):
        mailboxes = [sleeper() for _ in range(20)]
        site("always")
        assert reconcile_cache().rescheduled == 20
        moments = sorted(waits(mailbox) for mailbox in mailboxes)
        assert moments[-1] - moments[0] > timedelta(minutes=10)

    def test_is_only_counted_on_a_dry_run(self, sleeper, site):
        mailbox = sleeper()
        site("always")
        assert reconcile_cache(dry_run=True).rescheduled == 1
        assert waits(mailbox) > 19 * DAY


class TestWhatIsLeftAlone:
    @pytest.mark.parametrize(
        "columns",
        [
            {"use_oauth": False},
            {"status": Status.DISCONNECTED},
            {"status": Status.NEEDS_REAUTH},
            {"refresh_failures": 1},
            {"lease_owner": "a worker"},
            {"refresh_policy": "on_demand"},
            {"token_expiry": None},
        ],
        ids=lambda columns: next(iter(columns)),
    )
    def test_is_what_nothing_can_be_said_of(self, sleeper, site, columns):
        mailbox = sleeper(**columns)
        site("always")
        assert reconcile_cache().rescheduled == 0
        assert waits(mailbox) > 19 * DAY

    def test_is_a_warm_mailbox_that_its_lane_postponed(self, site, connect):
        site("always")
        connect(refresh_at=timezone.now() + 2 * HOUR)
        assert reconcile_cache().rescheduled == 0

    def test_is_what_changed_while_it_was_looked_at(self, sleeper, site, monkeypatch):
        mailbox = sleeper()
        site("always")
        really, due = schedule._move, timezone.now() + HOUR / 2

        def meanwhile(*told):
            MailCredentials.objects.update(refresh_at=due)
            return really(*told)

        monkeypatch.setattr(schedule, "_move", meanwhile)
        assert reconcile_cache().rescheduled == 0
        assert stored(mailbox).refresh_at == due

    def test_is_an_idle_mailbox_day_after_day(self, sleeper):
        mailbox = sleeper(refresh_at=None)
        assert reconcile_cache().rescheduled == 1
        before = stored(mailbox).refresh_at
        for _ in range(10):
            assert reconcile_cache().rescheduled == 0
            assert stored(mailbox).refresh_at == before
            pass_time(DAY)
            before -= DAY


class TestWhatBecomesIdle:
    def test_does_so_with_its_next_refresh(self, site, connect):
        site("always")
        mailbox = connect(seconds_left=100, connected_at=timezone.now() - 400 * DAY)
        site("on_demand")
        assert reconcile_cache().rescheduled == 0
        pass_time(HOUR)
        assert sweep().refreshed == 1
        assert waits(mailbox) > 20 * DAY

    def test_rests_no_longer_than_its_site_lets_it(self, sleeper, site):
        mailbox = sleeper()
        site("on_demand", KEEP_ALIVE_DAYS=10)
        assert reconcile_cache().rescheduled == 1
        assert waits(mailbox) < 5 * DAY


class TestWhatFellOutOfTheSchedule:
    @pytest.mark.parametrize(("policy", "least", "most"), [("always", -5, 0), ("on_demand", 15, 24)])
    def test_comes_back_as_its_policy_says(self, sleeper, site, policy, least, most):
        mailbox = sleeper(refresh_at=None)
        site(policy)
        assert reconcile_cache().rescheduled == 1
        assert least * DAY - HOUR < waits(mailbox) < most * DAY + timedelta(minutes=1)

    def test_is_due_at_once_where_it_never_had_a_token(self, sleeper):
        mailbox = sleeper(refresh_at=None, token_issued_at=None, token_expiry=None)
        assert reconcile_cache().rescheduled == 1
        assert waits(mailbox) < timedelta(0)
        assert sweep().refreshed == 1


class TestOneMailboxesPolicy:
    def test_warms_it_at_once(self, sleeper):
        mailbox = sleeper()
        set_policy(mailbox, Policy.ALWAYS)
        assert stored(mailbox).refresh_policy == "always"
        assert sweep().refreshed == 1

    def test_may_be_taken_back(self, sleeper):
        mailbox = sleeper(refresh_policy="always", refresh_at=timezone.now())
        set_policy(mailbox, None)
        assert stored(mailbox).refresh_policy == ""
        assert sweep().refreshed == 1
        assert waits(mailbox) > 20 * DAY

    def test_leaves_every_other_column_alone(self, sleeper):
        mailbox = sleeper()
        stale = stored(mailbox)
        fresh = mailbox.refresh_now()
        set_policy(stale, Policy.RECENTLY_USED)
        assert stored(mailbox).open_access_token() == fresh


class TestAChangeForMany:
    """A policy that is changed for a million is carried out run by run, so that no run takes longer than it may."""

    @pytest.fixture
    def changed(self, sleeper, site, settings):
        def make(number: int, most: int) -> list[MailCredentials]:
            mailboxes = [sleeper() for _ in range(number)]
            site("always", RECONCILE_REPAIRS=most)
            return mailboxes

        return make

    def test_takes_several_runs_and_each_says_what_is_left(self, changed):
        mailboxes = changed(7, 3)
        reports = [reconcile_cache() for _ in range(4)]
        assert [(report.rescheduled, report.reschedules_left) for report in reports] == [
            (3, 4),
            (3, 1),
            (1, 0),
            (0, 0),
        ]
        assert all(waits(mailbox) < HOUR for mailbox in mailboxes)

    @pytest.mark.parametrize("page", [1, 2, 3, 100])
    def test_stops_in_the_middle_of_a_page(self, changed, monkeypatch, page):
        monkeypatch.setattr(schedule, "PAGE", page)
        mailboxes = changed(5, 2)
        assert (reconcile_cache().rescheduled, reconcile_cache().rescheduled) == (2, 2)
        assert sum(waits(mailbox) < HOUR for mailbox in mailboxes) == 4

    def test_goes_past_what_need_not_be_moved(self, changed, connect):
        """A warm mailbox of a long-lived token looks alike; it neither uses up a run nor keeps the next from going on."""
        issued, expires = timezone.now() - HOUR, timezone.now() + 100 * DAY
        for _ in range(4):
            row = connect(refresh_policy="always", token_issued_at=issued, token_expiry=expires)
            due = due_at(keeping_of(row, issued, expires, grant_ends_at=row.refresh_token_expires_at), issued)
            MailCredentials.objects.filter(pk=row.pk).update(refresh_at=due)
        changed(3, 2)
        reports = [reconcile_cache() for _ in range(3)]
        assert [report.rescheduled for report in reports] == [2, 1, 0]
        assert [report.reschedules_left > 0 for report in reports] == [True, False, False]

    def test_need_not_be_bounded(self, changed):
        changed(5, 0)
        report = reconcile_cache()
        assert (report.rescheduled, report.reschedules_left) == (5, 0)

    def test_is_counted_whole_by_a_dry_run(self, changed):
        changed(5, 2)
        report = reconcile_cache(dry_run=True)
        assert (report.rescheduled, report.reschedules_left) == (5, 0)


class TestWhatItCosts:
    def test_is_one_query_where_nothing_is_amiss(self, sleeper, django_assert_num_queries):
        for _ in range(3):
            sleeper()
        with django_assert_num_queries(1):
            assert mend_schedule(MailCredentials.objects.all()) == (0, 0)

    def test_is_a_few_for_a_page_and_no_token_is_read(self, sleeper, site, monkeypatch):
        for _ in range(7):
            sleeper()
        site("always")
        monkeypatch.setattr(schedule, "PAGE", 3)
        with CaptureQueriesContext(connection) as queries:
            assert mend_schedule(MailCredentials.objects.all()) == (7, 0)
        statements = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
        assert 3 + 3 <= len(statements) <= 3 + 7, "a page, and an update for each minute"
        columns = [sql.partition("FROM")[0] for sql in statements if sql.startswith("SELECT")]
        assert len(columns) == 3
        assert not any(f"_token{quote}" in sql for sql in columns for quote in '"`')
