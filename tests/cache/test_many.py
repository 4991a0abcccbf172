"""Many copies are stored at once as each of them would be alone."""

from __future__ import annotations

import logging
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.core.cache.backends.locmem import LocMemCache

from mail_oauth.cache import token_cache


class TestManyCopies:
    def test_come_back_as_they_were(self, any_cache, token):
        items = {uuid4(): token(generation, value=f"token {generation}") for generation in range(1, 40)}
        assert token_cache.put_many(items) == set(items)
        assert {pk: token_cache.get(pk) for pk in items} == items

    def test_are_of_one_resource(self, any_cache, pk, token):
        token_cache.put_many({pk: token()}, "graph")
        assert token_cache.get(pk) is None
        assert token_cache.get(pk, "graph") == token()

    def test_give_way_each_to_what_is_newer(self, any_cache, token):
        newer, older, same, buried, gone = (uuid4() for _ in range(5))
        token_cache.put(newer, token(9, value="newer"))
        token_cache.put(older, token(7, value="older"))
        token_cache.put(same, token(8, value="the same"))
        token_cache.bury(buried, 8)
        items = dict.fromkeys((newer, older, same, buried), token(8)) | {gone: token(8, seconds=-1)}
        assert token_cache.put_many(items) == {older, same}
        assert token_cache.get(newer).reveal() == "newer"
        assert token_cache.get(older) == token(8)
        assert token_cache.get(buried) is None

    def test_may_be_none(self, any_cache):
        assert token_cache.put_many({}) == set()


class TestOnRedis:
    def test_they_take_one_round_trip(self, redis_cache, token, sendings):
        token_cache.put(uuid4(), token())  # connects, and loads the script
        sendings.clear()
        assert len(token_cache.put_many({uuid4(): token() for _ in range(100)})) == 100
        assert len(sendings) == 1

    def test_one_takes_one_round_trip(self, redis_cache, pk, token, sendings):
        token_cache.put(pk, token())
        sendings.clear()
        assert token_cache.put(pk, token(2))
        assert len(sendings) == 1

    @pytest.mark.parametrize("many", [True, False])
    def test_they_load_the_script_again_where_it_was_lost(self, redis_cache, token, many):
        items = {uuid4(): token() for _ in range(3)}
        token_cache.put_many(items)
        with redis_cache.client() as redis:
            redis.script_flush()
        if many:
            assert token_cache.put_many(items) == set(items)
        else:
            assert all(token_cache.put(pk, stored) for pk, stored in items.items())

    def test_they_end_with_their_tokens(self, redis_cache, token):
        items = {uuid4(): token(seconds=seconds) for seconds in (10, 3600)}
        token_cache.put_many(items)
        with redis_cache.client() as redis:
            left = [redis.pttl(str(cache.make_key(f"mail_oauth:mail:{pk}"))) for pk in items]
        assert 8_000 < left[0] <= 10_000
        assert 3_598_000 < left[1] <= 3_600_000

    def test_a_dead_one_stores_none_and_is_told_once(self, redis_cache, token, caplog):
        redis_cache.kill()
        with caplog.at_level(logging.WARNING):
            assert token_cache.put_many({uuid4(): token() for _ in range(20)}) == set()
        assert [getattr(record, "action", "") for record in caplog.records] == ["cache_failed"]

    def test_a_full_one_stores_none_and_is_told_once(self, calm_redis, token, caplog):
        token_cache.put(uuid4(), token())
        with calm_redis.client() as redis:
            redis.config_set("maxmemory-policy", "noeviction")
            redis.config_set("maxmemory", 1)
        with caplog.at_level(logging.WARNING):
            assert token_cache.put_many({uuid4(): token() for _ in range(20)}) == set()
        assert [getattr(record, "action", "") for record in caplog.records] == ["cache_failed"]


def test_another_cache_that_fails_is_asked_no_further(locmem_cache, token, monkeypatch, caplog):
    asked = []

    def fail(*args, **kwargs):
        asked.append(args)
        raise ConnectionError

    monkeypatch.setattr(LocMemCache, "get", fail)
    assert token_cache.put_many({uuid4(): token() for _ in range(20)}) == set()
    assert len(asked) == 1
