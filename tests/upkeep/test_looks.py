"""The cache is asked about a page while the database reads the next one, in a thread where that makes no difference."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from django.utils import timezone

from mail_oauth.cache import token_cache
from mail_oauth.upkeep import looks, pages
from mail_oauth.upkeep.looks import Look, Looks
from mail_oauth.upkeep.pages import Place
from mail_oauth.upkeep.reconcile import reconcile_cache
from mail_oauth.usage import uses

tenant = threading.local()


def tenants_key(key: str, prefix: str, version: int) -> str:
    """A KEY_FUNCTION that knows whose mailbox it is in the thread that serves the tenant."""
    return f"{prefix}:{version}:{getattr(tenant, 'name', 'nobody')}:{key}"


def named(*names: str) -> list[Place]:
    return [(name, "", False, None) for name in names]


@pytest.fixture
def events(monkeypatch) -> list[str]:
    """What happened in which order: pages are read, looked at, and yielded."""
    happened: list[str] = []

    def look(self: Looks, page: list[Place]) -> Look:
        happened.append(f"look at {page[0][0]} in {threading.current_thread().name[:15]}")
        return Look(suspects=[page[0][0]])

    monkeypatch.setattr(Looks, "_seen", look)
    return happened


def reading(events: list[str], names: str) -> Iterator[list[Place]]:
    for name in names:
        events.append(f"read {name}")
        yield named(name)


class TestOnRedis:
    def test_a_page_is_read_before_the_one_before_it_is_done(self, redis_cache, events):
        for page, look in Looks(uses=False).at(reading(events, "abc")):
            assert look.suspects == [page[0][0]]
            events.append(f"done {page[0][0]}")
        own = [event for event in events if not event.startswith("look")]
        assert own == ["read a", "read b", "done a", "read c", "done b", "done c"]
        assert [event for event in events if event.startswith("look")] == [
            f"look at {name} in mail_oauth look" for name in "abc"
        ]

    def test_no_thread_outlives_a_walk(self, redis_cache, events):
        walk = Looks(uses=False).at(reading(events, "abc"))
        next(walk)
        assert any(thread.name.startswith("mail_oauth look") for thread in threading.enumerate())
        walk.close()
        assert not any(thread.name.startswith("mail_oauth look") for thread in threading.enumerate())

    def test_one_that_fails_is_the_last(self, redis_cache, monkeypatch):
        asked = []

        def failing(self: Looks, page: list[Place]) -> Look:
            asked.append(page)
            raise ConnectionError

        monkeypatch.setattr(Looks, "_seen", failing)
        walk = Looks(uses=False)
        assert [look for _, look in walk.at([named("a"), named("b"), named("c")])] == [Look()] * 3
        assert (walk.error, len(asked)) == ("ConnectionError", 1)
        assert walk.asked(lambda: pytest.fail("it was asked again")) is None

    def test_there_may_be_no_page(self, redis_cache):
        assert list(Looks(uses=True).at([])) == []


@pytest.mark.parametrize("kind", ["locmem_cache", "file_cache"])
def test_elsewhere_it_stays_in_its_thread(request, events, kind):
    request.getfixturevalue(kind)
    assert [page for page, _ in Looks(uses=False).at(reading(events, "ab"))] == [named("a"), named("b")]
    assert all("MainThread" in event for event in events if event.startswith("look"))


@pytest.mark.django_db
def test_a_key_function_finds_its_tenant(redis_cache, connect, settings, monkeypatch):
    default = {**settings.CACHES["default"], "KEY_FUNCTION": "tests.upkeep.test_looks.tenants_key"}
    settings.CACHES = {**settings.CACHES, "default": default}
    monkeypatch.setattr(tenant, "name", "acme", raising=False)
    row = connect()
    token_cache.put(row.pk, row.open_access_token())
    assert reconcile_cache().drift == {}
    token_cache.forget(row.pk)
    assert reconcile_cache().repaired == 1


@pytest.mark.django_db
class TestUses:
    @pytest.fixture
    def used(self, connect, redis_cache, monkeypatch):
        monkeypatch.setattr(pages, "PAGE", 2)
        rows = [connect() for _ in range(3)]
        for row in rows[:2]:
            uses.note(row.pk)
        uses.finish()
        return rows

    def test_are_written_down_once(self, used):
        assert (reconcile_cache().used, reconcile_cache().used) == (2, 0)
        for row, is_used in zip(used, (True, True, False), strict=True):
            row.refresh_from_db()
            assert (row.last_used_at is not None) == is_used
        assert (timezone.now() - used[0].last_used_at).total_seconds() < 120

    def test_stay_marked_on_a_dry_run(self, used, monkeypatch):
        monkeypatch.setattr(looks, "marks", lambda pks: pytest.fail("they were asked for"))
        assert reconcile_cache(dry_run=True).used == 0
