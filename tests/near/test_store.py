"""What is kept, how much of it, for how long, and that nobody sees it."""

from __future__ import annotations

import json
import pickle
import threading
import time
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest

from mail_oauth.near import NearCopies, near_copies
from tests.concurrency import together

YEAR = 365 * 24 * 3600


class Clock:
    """Stands for the module `time`."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


def eventually(true: Callable[[], bool]) -> bool:
    """Wait until something is so; False when it is not even after some seconds."""
    give_up_at = time.monotonic() + 10
    while not true() and time.monotonic() < give_up_at:
        time.sleep(0.02)
    return true()


def keep(near: NearCopies, pk: UUID, token, seconds: float = YEAR) -> None:
    near.keep(pk, token, near.look(pk), seconds)


class TestACopy:
    def test_is_the_very_token(self, near, token):
        pk, kept = uuid4(), token()
        assert near.get(pk) is None
        keep(near, pk, kept)
        assert near.get(pk) is kept
        assert near.get(uuid4()) is None

    def test_is_found_by_another_uuid_that_is_the_same(self, near, token):
        pk = uuid4()
        keep(near, pk, token())
        assert near.get(UUID(str(pk))) is not None

    def test_may_be_kept_and_dropped_by_text(self, near, token):
        pk = uuid4()
        keep(near, str(pk), token())
        assert near.get(pk) is not None
        near.drop(str(pk))
        assert near.get(pk) is None

    def test_does_not_come_back_for_what_names_no_mailbox(self, near, token):
        keep(near, uuid4(), token())
        for nobody in ("", "ada", None, 5):
            near.look(nobody)
            near.drop(nobody)
            assert near.get(nobody) is None

    def test_gives_way_to_a_newer_one_only(self, near, token):
        pk = uuid4()
        keep(near, pk, token(2, "new"))
        keep(near, pk, token(1, "old"))
        assert near.get(pk).reveal() == "new"
        keep(near, pk, token(3, "newest"))
        assert near.get(pk).reveal() == "newest"

    def test_is_outdated_by_a_newer_token_only(self, near, token):
        pk = uuid4()
        keep(near, pk, token(2))
        near.outdate(pk, 1)
        near.outdate(pk, 2)
        assert near.get(pk) is not None
        near.outdate(pk, 3)
        assert near.get(pk) is None

    @pytest.mark.parametrize("change", ["drop", "clear", "outdate"])
    def test_is_not_made_of_what_was_found_before_a_change(self, near, token, change):
        pk = uuid4()
        look = near.look(pk)
        {"drop": lambda: near.drop(pk), "clear": near.clear, "outdate": lambda: near.outdate(pk, 2)}[change]()
        near.keep(pk, token(), look, YEAR)
        assert near.get(pk) is None
        keep(near, pk, token(2))
        assert near.get(pk) is not None


class TestAge:
    @pytest.fixture
    def clock(self, near, monkeypatch, settings) -> Clock:
        settings.MAIL_OAUTH = {"NEAR_CACHE_SECONDS": 3}
        made = Clock()
        monkeypatch.setattr("mail_oauth.near.time", made)
        return made

    def test_is_counted_from_before_the_source_was_asked(self, near, token, clock):
        pk, late = uuid4(), uuid4()
        look = near.look(pk)
        clock.now += 2  # a slow cache
        near.keep(pk, token(), look, YEAR)
        clock.now += 0.9
        assert near.get(pk) is not None
        clock.now += 0.1
        assert near.get(pk) is None
        near.keep(late, token(), look, YEAR)
        assert near.get(late) is None

    def test_ends_sooner_where_the_token_must_be_refreshed_sooner(self, near, token, clock):
        pk, over = uuid4(), uuid4()
        keep(near, pk, token(), 1)
        keep(near, over, token(), 0)
        assert near.get(over) is None
        assert near.get(pk) is not None
        clock.now += 1
        assert near.get(pk) is None

    def test_of_none_is_none(self, near, token, settings):
        settings.MAIL_OAUTH = {"NEAR_CACHE_SECONDS": 0}
        pk = uuid4()
        keep(near, pk, token())
        assert near.get(pk) is None
        assert len(near) == 0


class TestSize:
    def test_is_bounded_and_the_one_unused_for_longest_goes(self, near, token, settings):
        settings.MAIL_OAUTH = {"NEAR_CACHE_SECONDS": 60, "NEAR_CACHE_SIZE": 3}
        first, second, third, fourth = (uuid4() for _ in range(4))
        for pk in (first, second, third):
            keep(near, pk, token())
        near.get(first)
        keep(near, fourth, token())
        assert [near.get(pk) is not None for pk in (first, second, third, fourth)] == [True, False, True, True]

    def test_is_bounded_in_what_is_remembered_of_dropped_ones_as_well(self, near, token, settings):
        settings.MAIL_OAUTH = {"NEAR_CACHE_SECONDS": 60, "NEAR_CACHE_SIZE": 50}
        for _ in range(2000):
            keep(near, uuid4(), token())
        assert len(near) == 50
        assert len(near._ends) <= 200

    def test_of_none_keeps_none(self, near, token, settings):
        settings.MAIL_OAUTH = {"NEAR_CACHE_SIZE": 0}
        keep(near, uuid4(), token())
        assert len(near) == 0


class TestPlaintext:
    def test_is_erased_once_it_is_over_although_nobody_asks(self, near, token, settings):
        settings.MAIL_OAUTH = {"NEAR_CACHE_SECONDS": 1}
        for _ in range(5):
            keep(near, uuid4(), token())
        assert len(near) == 5
        assert eventually(lambda: len(near) == 0)

    def test_leaves_no_thread_behind_and_gets_a_new_one(self, near, token, settings, monkeypatch):
        settings.MAIL_OAUTH = {"NEAR_CACHE_SECONDS": 0.2}
        monkeypatch.setattr("mail_oauth.near.IDLE_ROUNDS", 0)
        assert eventually(lambda: not any("near copies" in thread.name for thread in threading.enumerate()))
        for _ in range(2):
            for _ in range(50):
                keep(near, uuid4(), token())
            assert sum("near copies" in thread.name for thread in threading.enumerate()) == 1
            assert eventually(lambda: not any("near copies" in thread.name for thread in threading.enumerate()))
            assert len(near) == 0

    def test_is_not_kept_where_nothing_would_erase_it(self, token, settings, monkeypatch):
        settings.MAIL_OAUTH = {"NEAR_CACHE_SECONDS": 60}

        def refuse(thread: threading.Thread) -> None:
            raise RuntimeError("can't create new thread at interpreter shutdown")

        monkeypatch.setattr(threading.Thread, "start", refuse)
        near, pk = NearCopies(), uuid4()
        keep(near, pk, token())
        assert near.get(pk) is None

    @pytest.mark.parametrize("changed", ["MAIL_OAUTH", "CACHES", "FERNET_KEYS"])
    def test_is_dropped_where_settings_change(self, near, token, settings, changed):
        keep(near, uuid4(), token())
        setattr(settings, changed, getattr(settings, changed))
        assert len(near) == 0

    def test_is_shown_nowhere(self, near, token):
        keep(near, uuid4(), token())
        shown = repr(near) + str(near) + repr(near._entries) + repr(list(near._entries.values()))
        assert "a-token-in-clear" not in shown
        with pytest.raises(TypeError):
            pickle.dumps(near)
        with pytest.raises(TypeError):
            json.dumps(list(near._entries.values()))


def test_many_threads_find_nothing_that_was_dropped_before_they_looked(near, token, settings):
    settings.MAIL_OAUTH = {"NEAR_CACHE_SECONDS": 60, "NEAR_CACHE_SIZE": 8}
    pks = [uuid4() for _ in range(12)]
    truth, told = dict.fromkeys(pks, 1), dict.fromkeys(pks, 1)
    locks = {pk: threading.Lock() for pk in pks}
    numbers = iter(range(1, 10**6))

    def work() -> None:
        for _ in range(600):
            pk = pks[next(numbers) * 7 % len(pks)]
            if next(numbers) % 5:
                known = told[pk]
                found = near.get(pk)
                assert found is None or found.generation >= known
                look = near.look(pk)
                near.keep(pk, token(truth[pk]), look, YEAR)
            else:
                with locks[pk]:
                    truth[pk] += 1
                    near.outdate(pk, truth[pk])
                    told[pk] = truth[pk]

    together(8, work)
    assert len(near) <= 8
    for pk in pks:
        assert (found := near.get(pk)) is None or found.generation == truth[pk]


def test_the_store_of_the_process_is_one():
    assert isinstance(near_copies, NearCopies)
