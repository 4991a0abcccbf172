"""Threads that refresh behind callers stay for a while, so that a connection serves many; none outlives its use."""

from __future__ import annotations

import contextvars
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Any

import pytest
from django.db import Error, connection, transaction
from django.db.backends.signals import connection_created

from mail_oauth.managers import threads as module
from mail_oauth.managers.background import behind
from mail_oauth.managers.threads import Threads
from mail_oauth.models import MailCredentials
from tests.concurrency import together


@pytest.fixture
def threads() -> Iterator[Threads]:
    made = Threads()
    yield made
    made.dismiss(10)


@pytest.fixture
def max_age(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], None]:
    """For how long connections are kept from now on."""
    return lambda seconds: monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", seconds)


@pytest.fixture
def opened() -> Iterator[list[Any]]:
    """The connections that were opened since."""
    made: list[Any] = []

    def note(connection: Any, **_: Any) -> None:
        made.append(connection)

    connection_created.connect(note)
    yield made
    connection_created.disconnect(note)


def query() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def do(threads: Threads, work: Callable[[], object]) -> None:
    """Have it done, and wait until that is over and the thread idle, or gone."""
    done = threading.Event()
    threads.run(lambda: (work(), done.set()))
    assert done.wait(10)
    until(lambda: len(threads._idle) == len(threads))


def until(condition: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.002)


class TestAConnection:
    @pytest.mark.parametrize("seconds", [60, None])
    def test_serves_many_where_the_settings_keep_it(self, separate_connections, threads, max_age, opened, seconds):
        max_age(seconds)
        for _ in range(5):
            do(threads, query)
        assert len(opened) == 1
        threads.dismiss()
        assert opened[0].connection is None

    def test_serves_one_where_they_do_not_and_waits_for_none(self, separate_connections, threads, max_age, opened):
        max_age(0)
        for number in range(3):
            do(threads, query)
            assert [each.connection for each in opened] == [None] * (number + 1)

    def test_that_aged_while_nobody_needed_it_is_replaced(self, separate_connections, threads, max_age, opened):
        max_age(1)
        do(threads, query)
        opened[0].close_at = time.monotonic()
        do(threads, query)
        assert len(opened) == 2

    def test_that_broke_is_replaced(self, separate_connections, threads, max_age, opened):
        if connection.vendor == "sqlite":
            pytest.skip("Django takes every connection of SQLite for a good one")

        def break_it() -> None:
            query()
            connection.connection.close()
            with pytest.raises(Error):
                query()

        max_age(None)
        do(threads, break_it)
        do(threads, query)
        assert len(opened) == 2

    def test_serves_refreshes_behind_callers(self, separate_connections, connect, max_age, opened, posts):
        max_age(60)
        mailboxes = [connect(seconds_left=200) for _ in range(6)]
        for mailbox in mailboxes:
            mailbox.get_access_token()
            until(lambda: not behind._running)
        assert [posts(mailbox) for mailbox in mailboxes] == [1] * 6
        assert len(opened) <= 2, "the next may come before the thread is idle again"

    def test_serves_refreshes_out_of_callers_transactions(self, separate_connections, connect, max_age, opened):
        if connection.vendor == "sqlite":
            pytest.skip("has one writer, and the caller is it")
        max_age(60)
        for _ in range(4):
            mailbox = connect(seconds_left=-1)
            with transaction.atomic():
                mailbox.get_access_token()
        assert len(opened) <= 2


class TestAThread:
    def test_ends_when_nothing_comes(self, separate_connections, threads, max_age, opened, monkeypatch):
        max_age(None)
        monkeypatch.setattr(module, "IDLE_SECONDS", 0.05)
        do(threads, query)
        until(lambda: len(threads) == 0)
        until(lambda: opened[0].connection is None)

    def test_does_what_it_was_promised_in_the_last_moment(self, threads, monkeypatch):
        done = []

        class Late(SimpleQueue):
            """Just as nobody waits any longer, something comes."""

            def get(self, block=True, timeout=None):
                if timeout is None:
                    return super().get(block)
                if not done:
                    threads.run(lambda: done.append(threading.get_ident()))
                raise Empty

        monkeypatch.setattr(module, "SimpleQueue", Late)
        threads.run(lambda: None)
        until(lambda: len(threads) == 0)
        assert len(done) == 1

    def test_stays_in_no_greater_number_than_the_settings_say(self, threads, settings):
        settings.MAIL_OAUTH = {"BACKGROUND_THREADS": 2}
        barrier = threading.Barrier(5)
        for _ in range(5):
            threads.run(barrier.wait)
        until(lambda: len(threads) == 2)

    def test_that_rested_least_is_taken_first(self, threads):
        barrier = threading.Barrier(3)
        for _ in range(3):
            threads.run(barrier.wait)
        until(lambda: len(threads._idle) == 3)
        names = set()
        for _ in range(6):
            do(threads, lambda: names.add(threading.get_ident()))
        assert len(names) == 1, "so that the others can end"

    def test_forgets_what_its_work_left_in_context_variables(self, threads):
        language = contextvars.ContextVar("language", default="")
        seen = []
        for _ in range(2):
            do(threads, lambda: (seen.append(language.get()), language.set("fr")))
        assert seen == ["", ""]

    def test_goes_on_after_work_that_failed(self, threads):
        def fail() -> None:
            raise ValueError("of no interest")

        assert behind.submit("a mailbox", fail)
        until(lambda: not behind._running)
        assert behind.submit("a mailbox", lambda: None), "nothing of it is thought to run"

    def test_that_cannot_be_started_is_no_refresh_that_runs(self, monkeypatch):
        def refuse(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            assert not behind.submit("a mailbox", lambda: None)
        assert behind.submit("a mailbox", lambda: None)

    def test_that_is_at_work_ends_after_it_when_it_is_dismissed(self, threads):
        begun, go_on, done = threading.Event(), threading.Event(), []
        threads.run(lambda: (begun.set(), go_on.wait(10), done.append(1)))
        assert begun.wait(10)
        threads.dismiss()
        assert len(threads) == 1
        go_on.set()
        threads.dismiss(10)
        assert (done, len(threads)) == ([1], 0)

    def test_is_none_of_a_forked_childs_and_closes_its_connection_before(
        self, separate_connections, connect, max_age, opened
    ):
        """The child would close the parent's end of it, or use it as well."""
        from mail_oauth.managers.background import threads

        max_age(None)
        do(threads, query)
        kept = opened[0]
        pid = os.fork()
        if pid == 0:
            os._exit(len(threads) + (kept.connection is not None))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert MailCredentials.objects.count() == 0

    @pytest.mark.parametrize("seconds", [0, 0.3], ids=["idle", "at work"])
    def test_closes_its_connection_before_the_interpreter_ends(self, separate_connections, seconds):
        program = (
            "import django, time; django.setup()\n"
            "from django.db import connection, connections\n"
            "from mail_oauth.managers.background import threads\n"
            "connections.settings['default']['CONN_MAX_AGE'] = None\n"
            f"threads.run(lambda: (connection.ensure_connection(), time.sleep({seconds})))\n"
            f"time.sleep({0.3 - seconds})\n"
        )
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONDEVMODE": "1"}
        command = [sys.executable, "-W", "error", "-c", program]
        ended = subprocess.run(command, env=environment, capture_output=True, check=False)
        assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.mark.parametrize("idle", [20.0, 0.0])
def test_many_give_work_at_once_and_all_of_it_is_done(threads, monkeypatch, idle):
    monkeypatch.setattr(module, "IDLE_SECONDS", idle)
    done: list[int] = []
    together(8, lambda: [threads.run(lambda: done.append(1)) for _ in range(100)])
    until(lambda: len(done) == 800)
