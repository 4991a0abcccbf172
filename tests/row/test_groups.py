"""Pairs that are saved together are saved as if each were alone: all of it, or nothing, for every row by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail_oauth.cache import TokenCache, token_cache
from mail_oauth.managers.groups import GroupCommit, Save, Statements
from mail_oauth.managers.transitions import Transitions
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import CredentialEvent, MailCredentials
from mail_oauth.tokens import Secret, TokenSet
from tests.concurrency import closing, together
from tests.mailboxes import stored

pytestmark = pytest.mark.django_db(transaction=True)

rows = MailCredentials.objects


@pytest.fixture(autouse=True)
def postgres(transactional_db: None) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("only PostgreSQL saves groups: python -m tests.services postgres -- pytest tests/row")


@pytest.fixture
def group() -> Iterator[GroupCommit]:
    made = GroupCommit.over(rows)
    assert made is not None
    yield made
    made.close()


@pytest.fixture
def claimed(connect) -> Callable[..., list[MailCredentials]]:
    """Makes so many claimed mailboxes."""

    def make(number: int, **columns: Any) -> list[MailCredentials]:
        for _ in range(number):
            connect(seconds_left=-10, **columns)
        return rows.claim_due(number)

    return make


def pair(number: int = 1, **fields: Any) -> TokenSet:
    given = {"refresh_token": Secret(f"refresh{number}"), "expires_in": 3600, **fields}
    return TokenSet(access_token=Secret(f"access{number}"), **given)


def kinds(row: MailCredentials) -> list[str]:
    return list(CredentialEvent.objects.filter(credentials=row).values_list("kind", flat=True))


def save_all(group: GroupCommit, claims: list[MailCredentials]) -> list[Any]:
    """Save a pair for each in threads of their own; what each got."""
    work = iter([(number, row) for number, row in enumerate(claims)])
    lock = threading.Lock()

    def save() -> Any:
        with lock:
            number, row = next(work)
        return row.pk, Transitions(rows, group).save_tokens(row, pair(number))

    got = dict(together(len(claims), save))
    return [got[row.pk] for row in claims]


class TestAGroup:
    def test_is_what_queued_up_behind_a_commit(self, claimed, group, monkeypatch):
        sizes, begun, gate = [], threading.Event(), threading.Event()
        real = Statements.save

        def slow(self: Statements, saves: list[Save]) -> Any:
            sizes.append(len(saves))
            begun.set()
            gate.wait(10)
            return real(self, saves)

        monkeypatch.setattr(Statements, "save", slow)
        first, *others = claimed(6)
        early = threading.Thread(target=lambda: save_all(group, [first]))
        early.start()
        begun.wait(10)
        watcher = threading.Thread(target=lambda: (wait_for(lambda: group._waiting.qsize() == 5), gate.set()))
        watcher.start()
        assert all(token is not None for token in save_all(group, others))
        early.join()
        watcher.join()
        assert sizes == [1, 5]

    def test_is_saved_by_one_statement(self, claimed, django_assert_num_queries):
        claims = claimed(5)
        statements = Statements(MailCredentials, "default")
        saves = [made_save(row, number) for number, row in enumerate(claims)]
        statements.save(saves[:1])  # the first one also limits how long locks are waited for
        with django_assert_num_queries(1):
            assert statements.save(saves[1:]) == {save.claim for save in saves[1:]}
        statements.close()

    def test_publishes_its_tokens(self, claimed, group, any_cache):
        claims = claimed(3)
        tokens = save_all(group, claims)
        assert [token_cache.get(row.pk) for row in claims] == tokens
        assert {token.generation for token in tokens} == {2}

    def test_writes_the_same_as_a_save_alone(self, claimed, group):
        together_, alone = claimed(2, tenant="contoso", refresh_failures=2, last_refresh_error="http_500")
        fields = {"refresh_token_expires_in": 86_400, "scopes": ("mail",)}
        received_at = timezone.now() - timedelta(seconds=3)
        assert Transitions(rows, group).save_tokens(together_, pair(**fields), received_at, reason="scope_missing")
        assert Transitions(rows).save_tokens(alone, pair(**fields), received_at, reason="scope_missing")
        one, other = columns(together_), columns(alone)
        assert abs(one.pop("refresh_at") - other.pop("refresh_at")) < timedelta(minutes=55), "each has its place"
        assert one == other
        assert columns(together_)["last_refresh_error"] == ""
        assert kinds(together_) == kinds(alone) == [EventKind.RECOVERED]
        assert stored(together_).open_refresh_token() == stored(alone).open_refresh_token() == Secret("refresh1")

    def test_keeps_a_refresh_token_where_none_came(self, claimed, group):
        first, second = claimed(2)
        before = stored(first).refresh_token
        save = [(first, pair(1, refresh_token=None)), (second, pair(2))]
        ledger = Transitions(rows, group)
        assert all(ledger.save_tokens(row, tokens) for row, tokens in save)
        assert stored(first).refresh_token == before
        assert stored(second).open_refresh_token() == Secret("refresh2")

    def test_reads_nothing_that_the_claim_left_in_the_database(self, claimed, group):
        [row] = claimed(1)
        with CaptureQueriesContext(connection) as captured:
            assert Transitions(rows, group).save_tokens(row, pair())
        assert [query["sql"] for query in captured] == [], "another connection does all of it"


class TestWhoLostItsClaim:
    @pytest.mark.parametrize("change", [{"generation": 9, "refresh_token": None}, {"lease_owner": "somebody"}])
    def test_changes_nothing_and_spoils_it_for_nobody(self, claimed, group, change):
        lost, *others = claimed(4)
        rows.filter(pk=lost.pk).update(**change)
        before = stored(lost)
        token, *tokens = save_all(group, [lost, *others])
        assert token is None
        assert None not in tokens
        assert stored(lost).refresh_token == before.refresh_token
        assert kinds(lost) == []
        assert [kinds(row) for row in others] == [[EventKind.REFRESHED]] * 3

    def test_has_a_second_look_as_ever(self, claimed, group):
        """OAuth was switched off meanwhile: the tokens are the row's all the same."""
        [row] = claimed(1)
        rows.filter(pk=row.pk).update(generation=5, use_oauth=False)
        assert Transitions(rows, group).save_tokens(row, pair()) is None
        assert stored(row).open_refresh_token() == Secret("refresh1")

    def test_is_told_from_the_one_who_holds_it_now(self, claimed, group):
        """Both claims of one row may meet in a group: the late one must know that nothing of it was saved."""
        [late] = claimed(1)
        rows.filter(pk=late.pk).update(refresh_at=timezone.now() - timedelta(minutes=1))
        [now] = rows.claim_due(1)
        statements = Statements(MailCredentials, "default")
        saves = [made_save(late, 1), made_save(now, 2)]
        assert statements.save(saves) == {saves[1].claim}
        statements.close()
        assert stored(now).open_refresh_token() == Secret("refresh2")


class TestItsConnection:
    def test_is_given_back_as_it_was(self, claimed, monkeypatch):
        """A pool hands the same one to callers, who may wait longer for a lock."""
        statements = Statements(MailCredentials, "default")
        statements.save([made_save(claimed(1)[0], 1)])
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            assert cursor.fetchone() == ("250ms",)
            monkeypatch.setattr(connection, "close", lambda: None)
            statements.close()
            cursor.execute("SHOW lock_timeout")
            assert cursor.fetchone() == ("0",)


class TestAGroupThatFails:
    def test_leaves_a_locked_row_to_its_own_save(self, claimed, group):
        locked, *others = claimed(4)
        release, holding = threading.Event(), threading.Event()

        def hold() -> None:
            with transaction.atomic():
                rows.select_for_update().get(pk=locked.pk)
                holding.set()
                release.wait(10)

        holder = threading.Thread(target=lambda: closing(hold))
        holder.start()
        holding.wait(10)
        threading.Timer(1.5, release.set).start()
        assert all(token is not None for token in save_all(group, [locked, *others]))
        holder.join()
        assert {stored(row).generation for row in [locked, *others]} == {2}
        assert all(kinds(row) == [EventKind.REFRESHED] for row in [locked, *others])

    def test_is_saved_one_by_one_when_its_connection_broke(self, claimed, group):
        first, *others = claimed(4)
        ledger = Transitions(rows, group)
        assert ledger.save_tokens(first, pair())
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert all(token is not None for token in save_all(group, others))
        [last] = claimed(1)
        assert group.save(made_save(last, 9)) is True, "and the next group has a connection again"

    def test_is_over_for_those_who_wait_whatever_went_wrong(self, claimed, group, monkeypatch):
        monkeypatch.setattr(TokenCache, "put_many", lambda *_: 1 / 0)
        first, second = claimed(2)
        ledger = Transitions(rows, group)
        assert ledger.save_tokens(first, pair(1))
        monkeypatch.undo()
        assert ledger.save_tokens(second, pair(2))
        assert token_cache.get(second.pk) is not None

    def test_is_none_where_no_thread_can_be_started(self, claimed, group, monkeypatch):
        monkeypatch.setattr(GroupCommit, "_start", lambda _: _raise(RuntimeError("can't start new thread")))
        [row] = claimed(1)
        assert Transitions(rows, group).save_tokens(row, pair())

    def test_ends_with_what_waits(self, claimed):
        group = GroupCommit.over(rows)
        claims = claimed(3)
        assert None not in save_all(group, claims)
        group.close()
        assert not any(thread.name == "mail_oauth-commit" for thread in threading.enumerate())


class TestTheHistory:
    def test_has_one_event_for_each(self, claimed, group):
        claims = claimed(3)
        save_all(group, claims)
        events = CredentialEvent.objects.filter(credentials__in=claims)
        assert sorted(events.values_list("kind", "generation")) == [(EventKind.REFRESHED, 2)] * 3

    def test_keeps_no_routine_where_the_site_wants_none(self, claimed, group, settings):
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "REFRESH_EVENT_DAYS": 0}
        routine, recovered = claimed(1)[0], claimed(1, refresh_failures=1)[0]
        save_all(group, [routine, recovered])
        assert (kinds(routine), kinds(recovered)) == ([], [EventKind.RECOVERED])
        alone, told = claimed(2)
        assert Transitions(rows).save_tokens(alone, pair())
        assert Transitions(rows).save_tokens(told, pair(), reason="adopted")
        assert (kinds(alone), kinds(told)) == ([], [EventKind.REFRESHED])


def wait_for(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 10
    while not condition() and time.monotonic() < give_up_at:
        time.sleep(0.01)


def _raise(error: Exception) -> None:
    raise error


def made_save(row: MailCredentials, number: int) -> Save:
    from mail_oauth.managers.columns import pair_changes

    tokens = pair(number)
    kind, changes = pair_changes(row, tokens, timezone.now(), "")
    return Save(row, changes, kind, "", tokens)


def columns(row: MailCredentials) -> dict[str, Any]:
    """What stands in the row, but for what makes it this one."""
    own = {"id", "email", "subject", "sign_in_address", "access_token", "refresh_token"}
    now = stored(row)
    assert now.status == Status.CONNECTED
    times = {"created_at", "connected_at", "status_changed_at"}
    return {
        field.attname: getattr(now, field.attname)
        for field in MailCredentials._meta.concrete_fields
        if field.name not in own | times
    }
