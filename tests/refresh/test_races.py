"""Whoever loses a race discards its result, and no race, crash or rollback loses a grant."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from django.db import OperationalError, connection, transaction

from mail_oauth.cache import token_cache
from mail_oauth.connect.disconnect import disconnect
from mail_oauth.connect.switch import pause, resume
from mail_oauth.exceptions import MailboxDisconnected, ProviderUnavailable, TransactionHeld
from mail_oauth.managers.access import TokenAccess
from mail_oauth.managers.background import behind
from mail_oauth.managers.columns import token_changes
from mail_oauth.managers.transitions import Transitions
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import MailCredentials
from mail_oauth.refresh import engine
from mail_oauth.refresh.classification import Action
from mail_oauth.refresh.engine import refresh
from mail_oauth.refresh.replies import parse_tokens
from mail_oauth.testing.faults import Fault
from tests.concurrency import meanwhile, together
from tests.mailboxes import stored


def claimed(mailbox: MailCredentials) -> MailCredentials:
    """The mailbox in the hand of a worker that holds its lease."""
    row = MailCredentials.objects.claim(mailbox.pk, generation=stored(mailbox).generation, force=True)
    assert row is not None
    return row


def end_of_lease() -> None:
    MailCredentials.objects.update(refresh_at="2000-01-01T00:00:00Z")


def finish(row: MailCredentials):
    """Let a worker do its refresh."""
    return refresh(row, Transitions(MailCredentials.objects))


@pytest.fixture
def mailbox(connect, fake_provider_server) -> MailCredentials:
    return connect("keycloak", seconds_left=-10)


@pytest.mark.django_db
class TestAWorkerThatWakesTooLate:
    def test_has_its_tokens_refused(self, mailbox, provider, heard):
        late = claimed(mailbox)
        end_of_lease()
        successor = claimed(mailbox)
        assert finish(late).token is None
        assert stored(mailbox).lease_owner == successor.lease_owner
        assert stored(mailbox).access_token == mailbox.access_token
        assert (heard, mailbox.events.count()) == ([], 0)

    def test_has_its_failure_refused(self, mailbox, provider, heard):
        provider.configure(detect_reuse=False)
        late = claimed(mailbox)
        end_of_lease()
        good = finish(claimed(mailbox))
        outcome = finish(late)
        assert outcome.verdict.action is Action.REAUTH, "the provider refused the token that was replaced"
        assert stored(mailbox).status == Status.CONNECTED
        assert stored(mailbox).open_access_token() == good.token
        assert [event.kind for event in mailbox.events.all()] == [EventKind.REFRESHED]

    def test_leaves_nothing_in_the_cache(self, mailbox, provider):
        late = claimed(mailbox)
        end_of_lease()
        claimed(mailbox)
        finish(late)
        assert token_cache.get(mailbox.pk) is None


@pytest.mark.django_db
class TestDuringARefresh:
    def test_a_disconnect_wins(self, mailbox):
        row = claimed(mailbox)
        disconnect(mailbox)
        assert finish(row).token is None
        assert stored(mailbox).status == Status.DISCONNECTED
        assert stored(mailbox).access_token is None
        with pytest.raises(MailboxDisconnected):
            MailCredentials.objects.get_access_token(mailbox.pk)

    def test_a_reconnect_wins(self, mailbox, provider):
        row = claimed(mailbox)
        reply = provider.grant(mailbox.email, personality="oidc", scope=mailbox.requested_scopes)
        changes = token_changes(mailbox, parse_tokens(reply))
        Transitions(MailCredentials.objects).insist(mailbox.pk, EventKind.RECONNECTED, lambda _: dict(changes))
        assert finish(row).token is None
        assert stored(mailbox).open_refresh_token().reveal() == reply["refresh_token"]
        assert MailCredentials.objects.get_access_token(mailbox.pk).reveal() == reply["access_token"]

    def test_switching_oauth_off_loses_neither_the_switch_nor_the_new_pair(self, mailbox, provider):
        row = claimed(mailbox)
        pause(mailbox)
        assert finish(row).token is None
        current = stored(mailbox)
        assert not current.use_oauth
        assert current.refresh_at is None
        with pytest.raises(MailboxDisconnected, match="switched off"):
            MailCredentials.objects.get_access_token(mailbox.pk)
        assert current.open_refresh_token().reveal() == provider.newest_refresh_token(mailbox.email, "oidc")
        resume(current)
        assert stored(mailbox).refresh_now(), "the grant has survived"

    def test_switching_it_off_and_on_keeps_the_new_pair(self, mailbox, provider):
        row = claimed(mailbox)
        pause(mailbox)
        resume(stored(mailbox))
        token = finish(row).token
        assert token == stored(mailbox).open_access_token() == MailCredentials.objects.get_access_token(mailbox.pk)

    def test_deleting_the_mailbox_is_quiet(self, mailbox, caplog):
        row = claimed(mailbox)
        mailbox.delete()
        assert finish(row).token is None
        assert not MailCredentials.objects.exists()
        assert not [record for record in caplog.records if record.levelname == "ERROR"]

    def test_deleting_its_user_is_quiet(self, mailbox, user):
        row = claimed(mailbox)
        user.delete()
        assert finish(row).token is None
        assert not MailCredentials.objects.exists()


class TestACallerWhoseClaimIsLost:
    """The provider's answer is delayed by what happens meanwhile."""

    def test_takes_the_token_of_the_one_who_won(self, separate_connections, mailbox, provider):
        provider.configure(detect_reuse=False)
        won = []

        def overtake() -> None:
            end_of_lease()
            won.append(finish(claimed(mailbox)).token)

        provider.fail_next(1, meanwhile(overtake, Fault.oauth_error("invalid_grant")))
        assert mailbox.get_access_token() == won[0]
        assert stored(mailbox).status == Status.CONNECTED

    def test_is_told_that_the_mailbox_was_deleted(self, separate_connections, mailbox, provider):
        provider.fail_next(1, meanwhile(lambda: MailCredentials.objects.all().delete()))
        with pytest.raises(MailboxDisconnected, match="deleted"):
            mailbox.get_access_token()

    def test_is_told_that_it_was_switched_off(self, separate_connections, mailbox, provider):
        provider.fail_next(1, meanwhile(lambda: pause(stored(mailbox))))
        with pytest.raises(MailboxDisconnected, match="switched off"):
            mailbox.get_access_token()


class TestManyCallersAtOnce:
    def test_make_one_call_and_get_one_token(self, separate_connections, mailbox, provider, posts):
        provider.fail_next(1, Fault.slow(0.3))
        tokens = together(8, lambda: stored(mailbox).get_access_token())
        assert len({token.reveal() for token in tokens}) == 1
        assert posts(mailbox) == 1
        assert stored(mailbox).events.count() == 1

    def test_make_one_call_however_they_are_timed(self, separate_connections, connect, provider, posts):
        for _ in range(5):
            mailbox = connect("keycloak", seconds_left=-10)
            together(8, lambda mailbox=mailbox: MailCredentials.objects.get_access_token(mailbox.pk))
            assert posts(mailbox) == 1

    def test_who_force_it_get_a_new_token_each(self, separate_connections, mailbox, provider, posts):
        old = mailbox.open_access_token()
        tokens = together(4, mailbox.refresh_now)
        assert old not in tokens
        assert 1 <= posts(mailbox) <= 4
        assert stored(mailbox).status == Status.CONNECTED

    def test_who_force_it_never_get_the_token_that_failed_them(self, separate_connections, connect, provider):
        mailbox = connect("keycloak")
        old = mailbox.get_access_token()
        provider.fail_next(1, Fault.slow(0.5))
        assert old not in together(2, mailbox.refresh_now)

    def test_share_one_failure(self, separate_connections, mailbox, provider, posts):
        provider.fail_next(8, meanwhile(lambda: time.sleep(0.2), Fault.html()))

        def attempt() -> str:
            try:
                return stored(mailbox).get_access_token().reveal()
            except ProviderUnavailable as error:
                return error.reason

        assert set(together(6, attempt)) == {"http_502"}
        assert posts(mailbox) == 1

    def test_who_wait_too_long_are_told(self, separate_connections, mailbox, provider, settings):
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "WAIT_TIMEOUT": 0.2}
        claimed(mailbox)
        with pytest.raises(ProviderUnavailable, match="still refreshing"):
            mailbox.get_access_token()


class TestBehindACaller:
    def test_one_refresh_runs(self, separate_connections, connect, posts):
        mailbox = connect(seconds_left=200)
        old = mailbox.open_access_token()
        assert all(token == old for token in together(8, mailbox.get_access_token))
        limit = time.monotonic() + 10
        while stored(mailbox).generation == mailbox.generation and time.monotonic() < limit:
            time.sleep(0.02)
        assert stored(mailbox).get_access_token() != old
        assert posts(mailbox) == 1

    def test_another_process_that_was_faster_is_noticed(self, separate_connections, connect, posts):
        mailbox = connect(seconds_left=200)
        newer = mailbox.refresh_now()
        token_cache.forget(mailbox.pk)
        TokenAccess(MailCredentials.objects)._refresh_behind(mailbox.pk)
        assert posts(mailbox) == 1
        assert token_cache.get(mailbox.pk) == newer


class TestInsideACallersTransaction:
    @pytest.fixture(autouse=True)
    def _transactions(self, separate_connections) -> None:
        """No test case wraps these in a transaction of its own."""

    def test_a_rollback_keeps_the_new_token(self, mailbox, posts):
        if connection.vendor == "sqlite":
            pytest.skip("SQLite refuses to refresh here; the next test says how")

        with transaction.atomic():
            token = mailbox.get_access_token()
            transaction.set_rollback(True)
        assert stored(mailbox).open_access_token() == token
        assert mailbox.get_access_token() == token
        assert posts(mailbox) == 1

    def test_sqlite_refuses_before_any_call(self, mailbox, posts):
        if connection.vendor != "sqlite":
            pytest.skip("only SQLite has one writer")
        with transaction.atomic(), pytest.raises(TransactionHeld, match="before transaction"):
            mailbox.get_access_token()
        assert posts(mailbox) == 0
        assert stored(mailbox).lease_owner == ""

    def test_a_token_that_is_still_valid_is_served(self, connect, posts):
        mailbox = connect(seconds_left=200)
        with transaction.atomic():
            assert mailbox.get_access_token() == mailbox.open_access_token()

    def test_signals_of_a_change_wait_for_the_commit(self, mailbox, heard):
        transitions = Transitions(MailCredentials.objects)
        with transaction.atomic():
            transitions.apply(stored(mailbox), EventKind.NEEDS_ADMIN, {"status": Status.NEEDS_ADMIN})
            assert heard == []
        assert heard == [("mailbox_status_changed", "needs_admin")]

    def test_and_of_one_that_is_rolled_back_there_are_none(self, mailbox, heard):
        transitions = Transitions(MailCredentials.objects)
        with transaction.atomic():
            transitions.apply(stored(mailbox), EventKind.NEEDS_ADMIN, {"status": Status.NEEDS_ADMIN})
            transaction.set_rollback(True)
        assert heard == []
        assert stored(mailbox).status == Status.CONNECTED


@pytest.mark.django_db
class TestADatabaseThatFailsAtTheSave:
    class Broken:
        """Fails the next `times` statements that would save tokens."""

        def __init__(self, times: int) -> None:
            self.times = times

        def __call__(self, execute, sql, params, many, context):
            if sql.startswith("UPDATE") and "last_refresh_error" in sql and self.times > 0:
                self.times -= 1
                raise OperationalError("the database is away")
            return execute(sql, params, many, context)

    def test_is_asked_again_and_the_provider_is_not(self, mailbox, posts):
        with connection.execute_wrapper(self.Broken(2)):
            token = mailbox.get_access_token()
        assert stored(mailbox).open_access_token() == token
        assert posts(mailbox) == 1

    def test_keeps_a_failure_from_being_forgotten(self, mailbox, provider, posts):
        provider.fail_next(1, Fault.html())
        with connection.execute_wrapper(self.Broken(1)), pytest.raises(ProviderUnavailable):
            mailbox.get_access_token()
        assert stored(mailbox).refresh_failures == 1
        assert posts(mailbox) == 1

    def test_that_stays_away_costs_one_call_and_hands_out_nothing(self, mailbox, posts, monkeypatch):
        monkeypatch.setattr(engine, "SAVE_PAUSES", (0, 0, 0))
        with connection.execute_wrapper(self.Broken(100)), pytest.raises(OperationalError):
            mailbox.get_access_token()
        assert posts(mailbox) == 1
        assert token_cache.get(mailbox.pk) is None
        assert stored(mailbox).lease_owner, "the lease ends by itself, then the mailbox is due again"


def test_a_claim_that_cannot_be_written_spends_no_refresh_token(mailbox_on_a_broken_database, posts):
    with pytest.raises(OperationalError):
        mailbox_on_a_broken_database.get_access_token()
    assert posts(mailbox_on_a_broken_database) == 0


@pytest.fixture
def mailbox_on_a_broken_database(mailbox):
    def refuse(execute, sql, params, many, context):
        if sql.startswith("UPDATE"):
            raise OperationalError("read-only")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        yield mailbox


def test_a_forked_child_waits_for_none_of_its_parents_threads():
    assert behind.submit("a mailbox", lambda: time.sleep(0.2))
    pid = os.fork()
    if pid == 0:
        os._exit(1 if behind._running else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_the_interpreter_ends_after_the_refreshes_that_run_behind(tmp_path):
    program = (
        "import pathlib, sys, time\n"
        "from mail_oauth.managers.background import behind\n"
        "behind.submit('a mailbox', lambda: (time.sleep(0.3), pathlib.Path(sys.argv[1]).write_text('saved')))\n"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "token")], env=environment, check=True)
    assert (tmp_path / "token").read_text() == "saved"
