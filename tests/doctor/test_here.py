"""Without a call of any provider, the doctor sees what is wrong with the database, the mailboxes and the work on them."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.text import capfirst

from mail_oauth import parking, tasks
from mail_oauth.beat import mail_oauth_beat_schedule
from mail_oauth.managers.counts import tally
from mail_oauth.managers.vocabulary import TroubleKind
from mail_oauth.models import MailCredentials, ProviderHealth, RefreshCount
from mail_oauth.refresh.classification import Trouble
from mail_oauth.tokens import Secret, TokenSet
from mail_oauth.upkeep.doctor import PROBES

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.django_db
class TestASiteThatIsWell:
    @pytest.fixture(autouse=True)
    def sends_mail(self, settings):
        """As a test run does not, of which Django 6.1 has a check of its own."""
        settings.SILENCED_SYSTEM_CHECKS = ["mail.E001"]

    def test_hears_of_nothing_but_its_settings(self, doctor, connect, file_cache):
        connect()
        examined = doctor()
        bad = {each["id"] for each in examined.data["findings"] if each["level"] in ("warning", "error")}
        assert {identity for identity in bad if not identity.startswith(("security.", "mail_oauth."))} == {
            "work.sweeps",
            "work.reconciliation",
        }, "nothing has run yet"

    def test_is_told_what_was_looked_at(self, doctor, connect, file_cache):
        found = {each["id"] for each in doctor().data["findings"]}
        here = {
            probe.id for probe in PROBES if not probe.id.startswith(("provider.", "mail.", "redis.", "celery."))
        }
        assert here - {"system.checks"} <= found
        assert not {identity for identity in found if identity.startswith(("provider.", "mail."))}

    def test_no_provider_is_asked(self, doctor, connect, provider):
        connect()
        provider.clear_calls()
        doctor()
        assert provider.calls == []

    def test_nothing_is_changed(self, doctor, connect, file_cache):
        row = connect()
        before = MailCredentials.objects.values().get()
        doctor()
        assert MailCredentials.objects.values().get() == before
        assert not RefreshCount.objects.exists()
        assert row.generation == before["generation"]


@pytest.mark.django_db
class TestTheSystemChecks:
    def test_are_among_it_those_for_production_as_well(self, doctor, settings):
        del settings.FERNET_KEYS
        found = doctor().of("mail_oauth.W002")
        assert (found["level"], found["hint"]) == (
            "warning",
            'FERNET_KEYS = [os.environ["MAIL_OAUTH_KEY"]]',
        )

    def test_that_find_errors_do_not_keep_the_doctor_away(self, doctor, settings):
        settings.SESSION_COOKIE_SAMESITE = "Strict"
        examined = doctor()
        assert examined.of("mail_oauth.E015")["level"] == "error"
        assert examined.of("database.reachable")["level"] == "ok"

    def test_of_settings_that_cannot_be_read_are_all_there_is(self, doctor, settings):
        settings.MAIL_OAUTH = {"PROVIDRS": {}}
        examined = doctor()
        assert "Did you mean 'PROVIDERS'" in examined.of("mail_oauth.E001")["what"]
        assert examined.code == 1

    def test_of_a_provider_that_cannot_be_made(self, doctor, settings):
        settings.MAIL_OAUTH = {"PROVIDERS": {"google": {"CLIENT_ID": "id"}}}
        assert "CLIENT_SECRET" in doctor().of("mail_oauth.E002")["what"]

    def test_that_are_silenced_stay_silent(self, doctor, settings):
        settings.SILENCED_SYSTEM_CHECKS = ["mail_oauth.E046"]
        assert doctor().levels("mail_oauth.E046") == {}

    def test_that_cannot_be_run_are_said_to_be_so(self, doctor, settings):
        settings.ROOT_URLCONF = "tests.nowhere"
        found = doctor().of("system.checks")
        assert (found["level"], "ModuleNotFoundError" in found["what"]) == ("error", True)

    def test_of_the_database_are_asked_as_well(self, doctor):
        expected = {"postgresql": {"settings": "warning"}, "mysql": {"settings": "warning"}, "sqlite": {}}
        messages = [each for each in doctor().data["findings"] if each["id"] == "mail_oauth.W020"]
        assert {each["subject"]: each["level"] for each in messages} == expected[connection.vendor]


class TestADatabase:
    def test_that_is_away(self, doctor, aside, tmp_path):
        aside({"ENGINE": "django.db.backends.sqlite3", "NAME": tmp_path / "no folder" / "db.sqlite3"})
        examined = doctor()
        assert examined.code == 1
        found = examined.of("database.reachable")
        assert (found["level"], found["subject"]) == ("error", "aside")
        assert "OperationalError" in found["what"]
        assert 'DATABASES["aside"]' in found["hint"]
        assert examined.of("database.writable")["level"] == "skipped"
        assert examined.levels("mailboxes.overdue") == {}
        assert examined.of("cache.roundtrip")["level"] == "ok"

    def test_without_tables(self, doctor, aside, tmp_path):
        aside({"ENGINE": "django.db.backends.sqlite3", "NAME": tmp_path / "db.sqlite3"})
        examined = doctor()
        found = examined.of("database.migrations")
        assert (found["level"], "0001_initial" in found["what"]) == ("error", True)
        assert "manage.py migrate" in found["hint"]
        assert {examined.of(f"database.{name}")["level"] for name in ("writable", "clock")} == {"skipped"}
        assert examined.levels("mailboxes.overdue") == {}

    @pytest.mark.django_db
    def test_of_a_later_release(self, doctor):
        MigrationRecorder(connection).record_applied("mail_oauth", "9999_from_the_future")
        found = doctor().of("database.migrations")
        assert (found["level"], "9999_from_the_future" in found["what"]) == ("warning", True)

    def test_that_takes_no_writes(self, doctor, aside, tmp_path):
        file = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "db.sqlite3")}
        call_command("migrate", database=aside(file), verbosity=0)
        assert doctor().of("database.writable")["level"] == "ok"
        aside({**file, "NAME": f"file:{tmp_path / 'db.sqlite3'}?mode=ro", "OPTIONS": {"uri": True}})
        found = doctor().of("database.writable")
        assert (found["level"], "OperationalError" in found["what"]) == ("error", True)

    @pytest.mark.django_db(transaction=True)
    def test_that_is_a_replica(self, doctor, aside):
        """A session in which nothing may be written is what a client of a replica has."""
        only_reading = {
            "postgresql": {"options": "-c default_transaction_read_only=on"},
            "mysql": {"init_command": "SET SESSION TRANSACTION READ ONLY"},
        }
        if connection.vendor not in only_reading:
            pytest.skip("SQLite has no replicas")
        config = connection.settings_dict
        options = {**config["OPTIONS"], **only_reading[connection.vendor]}
        aside({**config, "OPTIONS": options})
        examined = doctor()
        assert examined.of("database.writable")["level"] == "error"
        assert examined.of("mailboxes.overdue")["level"] == "ok"

    @pytest.mark.django_db
    @pytest.mark.parametrize(
        ("seconds", "level", "words"),
        [
            (0, "ok", "agree"),
            (-20, "warning", "behind the database's"),
            (3600, "error", "ahead of the database's"),
        ],
    )
    def test_whose_clock_is_another(self, doctor, monkeypatch, seconds, level, words):
        true_now = timezone.now
        monkeypatch.setattr(timezone, "now", lambda: true_now() + timedelta(seconds=seconds))
        found = doctor().of("database.clock")
        assert (found["level"], words in found["what"]) == (level, True)


@pytest.mark.django_db
class TestMailboxes:
    def test_that_are_overdue_while_nothing_works_on_them(self, doctor, connect):
        connect(refresh_at=LONG_AGO)
        connect()
        found = doctor().of("mailboxes.overdue")
        assert found["level"] == "error"
        assert found["what"] == "1 of 2 are overdue, and no call was made for 15 minutes."
        assert "beat" in found["hint"]

    def test_that_are_overdue_though_something_does(self, doctor, connect):
        row = connect()
        row.refresh_now()
        tally.flush(RefreshCount.objects.all())
        connect(refresh_at=LONG_AGO)
        found = doctor().of("mailboxes.overdue")
        assert (found["level"], "calls within 15 minutes: 1" in found["what"]) == ("warning", True)

    def test_whose_calls_go_well_or_do_not(self, doctor, connect, provider):
        good, bad = connect("google"), connect("microsoft")
        good.refresh_now()
        provider.revoke(bad.email)
        with pytest.raises(Exception, match="reconnected"):
            bad.refresh_now()
        tally.flush(RefreshCount.objects.all())
        examined = doctor()
        assert examined.levels("mailboxes.refreshes") == {"google": "ok", "microsoft": "warning"}
        assert "1 reauth" in examined.of("mailboxes.refreshes", "microsoft")["what"]
        assert doctor("--provider", "google").levels("mailboxes.refreshes") == {"google": "ok"}

    @pytest.mark.parametrize(
        ("trouble", "level"),
        [(Trouble.CLIENT, "error"), (Trouble.CONFIGURATION, "error"), (Trouble.OUTAGE, "warning")],
    )
    def test_whose_lane_is_held(self, doctor, trouble, level):
        ProviderHealth.objects.hold("google", "acme.example", trouble, reason="AADSTS7000222", seconds=60)
        with CaptureQueriesContext(connection) as queries:
            found = doctor().of("mailboxes.lanes")
        assert (found["level"], found["subject"]) == (level, "google / acme.example")
        assert found["what"].startswith(f"{capfirst(TroubleKind(trouble).label)} (AADSTS7000222), since ")
        asked = [query["sql"] for query in queries if ProviderHealth._meta.db_table in query["sql"]]
        assert len([sql for sql in asked if "held" in sql]) == 1, asked

    def test_that_a_dead_worker_leased(self, doctor, connect):
        connect(lease_owner="somebody", refresh_at=LONG_AGO)
        found = doctor().of("mailboxes.leases")
        assert (found["level"], found["what"]) == ("warning", "Leases that ended under workers that died: 1.")

    @pytest.mark.parametrize(
        ("status", "level"),
        [
            ("connected", "ok"),
            ("needs_reauth", "ok"),
            ("needs_admin", "ok"),
            ("needs_attention", "warning"),
            ("unreadable", "error"),
        ],
    )
    def test_that_somebody_must_do_something_about(self, doctor, connect, status, level):
        connect(status=status)
        found = doctor().of("mailboxes.attention")
        assert found["level"] == level
        assert ("1 " in found["what"]) is (status != "connected")

    @pytest.mark.parametrize("source", ["FERNET_KEYS", 'MAIL_OAUTH["KEYS"]'])
    def test_that_are_unreadable_are_told_with_the_command_and_the_source_of_keys(
        self, doctor, connect, settings, source
    ):
        connect(status="unreadable")
        if source != "FERNET_KEYS":
            keys = settings.FERNET_KEYS
            del settings.FERNET_KEYS
            settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "KEYS": lambda: keys}
        hint = doctor().of("mailboxes.attention")["hint"]
        assert f"back into {source}:" in hint
        command = re.search("`manage.py (.*)`", hint)[1]
        call_command(*command.split(), stdout=io.StringIO(), stderr=io.StringIO())

    def test_of_a_provider_that_is_gone_from_the_settings(self, doctor, connect):
        row = connect()
        MailCredentials.objects.filter(pk=row.pk).update(provider="former")
        found = doctor().of("mailboxes.providers")
        assert (found["level"], found["subject"]) == ("warning", "former")

    @pytest.mark.parametrize("cache", ["file_cache", pytest.param("redis_cache", marks=pytest.mark.redis)])
    def test_for_which_a_token_pair_is_parked(self, doctor, connect, request, cache):
        request.getfixturevalue(cache)
        row = connect(refresh_at=LONG_AGO)
        assert doctor().of("mailboxes.parked")["level"] == "ok"
        tokens = TokenSet(
            access_token=Secret("parked access"), refresh_token=Secret("parked refresh"), expires_in=60
        )
        pair = parking.ParkedPair.of(row.generation, row.open_refresh_token(), tokens, timezone.now())
        assert parking.park(row.pk, pair)
        doctor.never += ["parked access", "parked refresh"]
        found = doctor().of("mailboxes.parked")
        assert (found["level"], "database to take them: 1" in found["what"]) == ("warning", True)
        assert "reconcile" in found["hint"]


@pytest.mark.django_db
class TestTheWork:
    @pytest.mark.parametrize("cache", ["file_cache", pytest.param("redis_cache", marks=pytest.mark.redis)])
    def test_that_was_just_done_is_seen(self, doctor, request, cache, monkeypatch):
        request.getfixturevalue(cache)
        assert doctor().levels("work.sweeps") == {"beat or cron": "warning"}
        tasks.refresh_due()
        tasks.reconcile_cache()
        tasks.prune_events()
        examined = doctor()
        for identity in ("work.sweeps", "work.reconciliation", "work.pruning"):
            assert examined.of(identity)["level"] == "ok"
        assert examined.of("work.sweeps")["what"].startswith("Last seen: refresh_due ")

    def test_that_cron_does_is_seen_as_well(self, doctor, file_cache, transactional_db):
        for action in ("refresh", "reconcile", "prune"):
            call_command("mail_oauth", action, verbosity=0, stdout=io.StringIO())
        assert doctor().of("work.sweeps")["what"].startswith("Last seen: refresh_batch ")

    def test_that_stopped_is_seen_to_have_stopped(self, doctor, file_cache, monkeypatch):
        tasks.refresh_due()
        true_now = timezone.now
        monkeypatch.setattr(timezone, "now", lambda: true_now() + timedelta(minutes=23))
        found = doctor().of("work.sweeps")
        assert (found["level"], found["what"]) == ("warning", "Last seen: refresh_due 23 min ago.")
        assert "worker --beat" in found["hint"]

    @pytest.mark.parametrize(
        ("minutes", "sweeps", "reconciliation"),
        [(9, "ok", "ok"), (59, "ok", "ok"), (119, "warning", "ok"), (299, "warning", "ok"), (301, "warning", "warning")],
    )  # fmt: skip
    def test_may_come_more_rarely_by_the_sites_own_schedule(
        self, doctor, file_cache, celery_app, monkeypatch, minutes, sweeps, reconciliation
    ):
        celery_app.conf.beat_schedule = mail_oauth_beat_schedule(interval=600, reconcile_interval=3000)
        tasks.refresh_due()
        tasks.reconcile_cache()
        true_now = timezone.now
        monkeypatch.setattr(timezone, "now", lambda: true_now() + timedelta(minutes=minutes))
        examined = doctor()
        levels = [examined.of(f"work.{name}")["level"] for name in ("sweeps", "reconciliation")]
        assert levels == [sweeps, reconciliation]

    def test_of_other_processes_cannot_be_told_by_a_private_cache(self, doctor, locmem_cache):
        tasks.refresh_due()
        assert doctor().of("work.sweeps")["level"] == "skipped"

    def test_that_only_looked_does_not_count(self, doctor, file_cache):
        call_command("mail_oauth", "reconcile", "--dry-run", verbosity=0, stdout=io.StringIO())
        assert doctor().of("work.reconciliation")["level"] == "warning"
