"""`manage.py mail_oauth …` does by hand what Celery does, and says what it did without a token."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from mail_oauth.cache import token_cache
from mail_oauth.models import CredentialEvent, MailCredentials

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(provider):
    """Runs the command; its output, in which no secret stands. Like the shell, it never sees an exception."""

    def call(*arguments: Any) -> tuple[int, str]:
        out, code = io.StringIO(), 0
        try:
            call_command("mail_oauth", *map(str, arguments), stdout=out, stderr=out)
        except CommandError as error:
            out.write(f"CommandError: {error}")
            code = error.returncode
        assert not any(secret in out.getvalue() for secret in provider.issued)
        return code, out.getvalue()

    return call


@pytest.fixture
def terminal() -> io.StringIO:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    return Terminal()


def cells(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


class TestRefresh:
    def test_takes_whatever_is_due(self, run, due, connect):
        due(3)
        connect()
        code, text = run("refresh")
        assert code == 0
        assert ["refreshed", "3"] in cells(text)
        assert not MailCredentials.objects.due().exists()

    def test_fails_where_one_failed(self, run, due, provider):
        due(2)
        provider.fail_next(1)
        code, text = run("refresh")
        assert code == 1
        assert "CommandError: 1 mailboxes could not be refreshed." in text
        assert ["refreshed", "1"] in cells(text)

    @pytest.mark.parametrize("name", [lambda row: row.pk, lambda row: row.email.upper()])
    def test_takes_the_one_that_is_named_though_not_due(self, run, connect, provider, name):
        row, other = connect(), connect()
        code, text = run("refresh", name(row))
        assert code == 0
        assert row.email in text
        assert other.email not in text
        assert MailCredentials.objects.get(pk=row.pk).generation == row.generation + 1

    def test_says_why_that_one_failed(self, run, connect, provider):
        row = connect()
        provider.revoke(row.email)
        code, text = run("refresh", row.email)
        assert code == 1
        assert "must be reconnected by its user" in text

    def test_knows_no_other(self, run, connect):
        connect()
        code, text = run("refresh", "nobody@example.com")
        assert (code, "nobody@example.com" in text) == (1, True)

    def test_stops_when_its_time_is_over(self, run, due):
        due(4)
        _, text = run("refresh", "--seconds", 0, "--threads", 1)
        assert ["ended", "time"] in cells(text)
        assert MailCredentials.objects.due().exists()


class TestReconcile:
    def test_repairs(self, run, connect, shared_cache):
        row = connect()
        code, text = run("reconcile")
        assert code == 0
        assert ["drift:", "absent", "1"] in cells(text)
        assert token_cache.get(row.pk) is not None

    def test_only_says_what_is_wrong_on_a_dry_run(self, run, connect, locmem_cache):
        row = connect()
        code, text = run("reconcile", "--dry-run")
        assert (code, ["drift:", "absent", "1"] in cells(text)) == (0, True)
        assert token_cache.get(row.pk) is None

    def test_fails_without_its_cache(self, run, connect, redis_cache):
        connect()
        redis_cache.stop()
        code, text = run("reconcile")
        assert code == 1
        assert "The cache could not be reached" in text

    def test_shows_its_progress_on_a_terminal(self, connect, provider, terminal):
        [connect() for _ in range(3)]
        call_command("mail_oauth", "reconcile", "--limit", "2", stdout=io.StringIO(), stderr=terminal)
        assert "2 of 2 mailboxes, 100%" in terminal.getvalue()
        assert terminal.getvalue().endswith("\n")

    @pytest.mark.parametrize("verbosity", [0, 1])
    def test_says_nothing_of_it_to_a_pipe_or_to_who_wants_silence(self, connect, provider, terminal, verbosity):
        connect()
        stderr = io.StringIO() if verbosity else terminal
        call_command("mail_oauth", "reconcile", verbosity=verbosity, stdout=io.StringIO(), stderr=stderr)
        assert stderr.getvalue() == ""

    def test_says_what_was_left_for_the_next_run(self, run, connect, settings, locmem_cache):
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "RECONCILE_REPAIRS": 1}
        [connect() for _ in range(3)]
        _, text = run("reconcile")
        assert ["drift:", "absent", "3"] in cells(text)
        assert ["repaired", "1"] in cells(text)
        assert ["left", "2"] in cells(text)


class TestStatus:
    def test_is_a_table_for_people(self, run, connect):
        connect()
        connect("google")
        code, text = run("status")
        head, google, microsoft = text.splitlines()
        assert code == 0
        assert head.split() == [
            *["provider", "status", "mailboxes", "idle", "overdue", "failing", "switched", "off", "ending"],
            *["oldest", "due", "soonest", "expiry"],
        ]
        assert google.split()[:5] == ["google", "connected", "1", "0", "0"]
        assert microsoft.split()[-3:] == ["in", "60", "min"] or microsoft.split()[-3:] == ["in", "1", "h"]

    def test_is_json_for_programs(self, run, connect):
        connect()
        code, text = run("status", "--json")
        report = json.loads(text)
        assert (code, report["mailboxes"], report["overdue"]) == (0, 1, 0)
        assert report["groups"][0]["provider"] == "microsoft"
        assert report["soonest_expiry"].endswith("Z")


def test_prune_deletes_old_events(run, connect):
    row = connect()
    row.refresh_now()
    assert run("prune", "--days", 1) == (0, "0 events deleted\n")
    assert run("prune", "--days", 0) == (0, "1 events deleted\n")
    assert not CredentialEvent.objects.exists()


def test_an_action_is_required(run):
    code, text = run()
    assert code == 1
    assert "refresh" in text
