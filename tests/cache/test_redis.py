"""On a real Redis: raw bytes, atomic order, exact lifetimes; and without it everything still works, only slower."""

from __future__ import annotations

import pickle
import time

import pytest
from django.core.cache import cache
from django.db import connections

from mail_oauth.cache import token_cache
from mail_oauth.models import MailCredentials
from tests.concurrency import together


def key_of(pk) -> str:
    return str(cache.make_key(f"mail_oauth:mail:{pk}"))


class TestAValue:
    def test_is_raw_bytes_whatever_the_serializer(self, redis_cache, pk, token):
        token_cache.put(pk, token(12))
        with redis_cache.client() as redis:
            raw = redis.get(key_of(pk))
        assert raw.startswith(b"1|12|")
        assert b"|mo1b:" in raw
        assert b"a-token-in-clear" not in raw

    def test_ends_before_its_token(self, redis_cache, pk, token):
        for seconds in (2, 10, 3600):
            stored = token(generation=seconds, seconds=seconds)
            token_cache.put(pk, stored)
            with redis_cache.client() as redis:
                ends_at = time.time() + redis.pttl(key_of(pk)) / 1000
            assert stored.expires_at.timestamp() - 1.1 < ends_at <= stored.expires_at.timestamp() + 0.05

    def test_that_is_a_tombstone_ends_too(self, redis_cache, pk):
        token_cache.bury(pk, 3)
        with redis_cache.client() as redis:
            assert redis.get(key_of(pk)) == b"1|3|0|0|"
            assert 0 < redis.ttl(key_of(pk)) <= 24 * 3600

    def test_of_a_wrong_type_is_replaced(self, redis_cache, pk, token):
        with redis_cache.client() as redis:
            redis.lpush(key_of(pk), "a list")
        assert token_cache.get(pk) is None
        assert token_cache.put(pk, token())
        assert token_cache.get(pk) == token()

    def test_that_is_a_pickle_bomb_is_not_opened(self, redis_cache, pk, tmp_path):
        mark = tmp_path / "opened"

        class Bomb:
            def __reduce__(self):
                return mark.touch, ()

        with redis_cache.client() as redis:
            redis.set(key_of(pk), pickle.dumps(Bomb()))
        assert token_cache.get(pk) is None
        assert token_cache.headers([pk]) == {pk: None}
        assert not mark.exists()


def test_of_many_writers_the_newest_generation_stays(redis_cache, pk, token):
    numbers = iter(range(1, 1000))
    made = {number: token(number, value=f"token {number}") for number in range(1, 201)}

    def write() -> None:
        for _ in range(25):
            number = next(numbers)
            token_cache.put(pk, made[number])

    together(8, write)
    assert token_cache.get(pk).generation == 200


def test_scripts_survive_a_restart(redis_cache, pk, token):
    token_cache.put(pk, token(1))
    redis_cache.kill()
    redis_cache.start()
    assert token_cache.put(pk, token(2)) or token_cache.put(pk, token(2))
    assert token_cache.get(pk) == token(2)


@pytest.mark.django_db
class TestATokenWithoutRedis:
    def test_comes_from_the_database_after_a_flush(self, redis_cache, connect, posts):
        mailbox = connect()
        token = mailbox.get_access_token()
        redis_cache.flush()
        assert MailCredentials.objects.get_access_token(mailbox.pk) == token
        assert token_cache.get(mailbox.pk) == token, "and the cache is filled again"
        assert posts(mailbox) == 0

    def test_comes_from_the_database_while_it_is_dead(self, redis_cache, connect, posts):
        mailbox = connect()
        token = mailbox.get_access_token()
        redis_cache.kill()
        assert MailCredentials.objects.get_access_token(mailbox.pk) == token
        expired = connect(seconds_left=-10)
        assert expired.get_access_token() == MailCredentials.objects.get_access_token(expired.pk)
        assert (posts(mailbox), posts(expired)) == (0, 1)

    def test_comes_from_the_database_while_it_is_silent(self, redis_cache, connect):
        mailbox = connect()
        token = mailbox.get_access_token()
        redis_cache.process.send_signal(19)  # SIGSTOP: connections are accepted, nothing is answered
        try:
            begun = time.monotonic()
            assert mailbox.get_access_token() == token
            assert time.monotonic() - begun < 10
        finally:
            redis_cache.process.send_signal(18)

    def test_comes_from_the_database_when_it_was_evicted(self, calm_redis, connect, posts):
        with calm_redis.client() as redis:
            used = int(redis.info("memory")["used_memory"])
            redis.config_set("maxmemory-policy", "allkeys-lru")
            redis.config_set("maxmemory", used + 150_000)
        mailboxes = [connect() for _ in range(60)]
        tokens = {mailbox.pk: mailbox.get_access_token() for mailbox in mailboxes}
        with calm_redis.client() as redis:
            assert redis.info("stats")["evicted_keys"] > 0
        for pk, token in tokens.items():
            assert MailCredentials.objects.get_access_token(pk) == token
        assert sum(posts(mailbox) for mailbox in mailboxes) == 0

    def test_comes_from_the_database_when_it_is_full(self, calm_redis, connect, pk, token):
        with calm_redis.client() as redis:
            redis.config_set("maxmemory-policy", "noeviction")
            redis.config_set("maxmemory", 1)
        mailbox = connect()
        assert not token_cache.put(pk, token())
        assert mailbox.get_access_token() == mailbox.open_access_token()

    def test_comes_from_a_replica_that_cannot_be_written(self, calm_redis, connect, pk, token):
        mailbox = connect()
        first = mailbox.get_access_token()
        with calm_redis.client() as redis:
            redis.config_set("replica-read-only", "yes")
            redis.replicaof("127.0.0.1", "1")
        assert MailCredentials.objects.get_access_token(mailbox.pk) == first, "what it holds is still read"
        assert not token_cache.put(pk, token())
        assert mailbox.refresh_now() != first
        assert mailbox.open_access_token() is not None

    def test_is_refreshed_rightly_by_many(self, redis_cache, connect):
        mailbox = connect(seconds_left=-10)
        redis_cache.kill()
        token = mailbox.get_access_token()
        assert MailCredentials.objects.get(pk=mailbox.pk).open_access_token() == token
        redis_cache.start()
        assert mailbox.get_access_token() == token
        connections["default"].ensure_connection()


@pytest.mark.django_db
def test_a_dead_cache_is_told_and_shows_no_token(redis_cache, connect, provider, caplog):
    mailbox = connect()
    redis_cache.kill()
    mailbox.get_access_token()
    assert any(getattr(record, "action", "") == "cache_failed" for record in caplog.records)
    assert not [secret for secret in provider.issued if secret in caplog.text]
