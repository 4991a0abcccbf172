"""A read goes straight to a connection where nothing of the site's stands between, and comes to the same everywhere."""

from __future__ import annotations

import threading
from uuid import uuid4

import pytest
import redis
from django.core.cache import cache, caches
from redis.backoff import NoBackoff
from redis.connection import ConnectionPool
from redis.retry import Retry

from mail_oauth.cache import token_cache
from tests.concurrency import together


class SiteClient(redis.Redis):
    """A site's own client, which counts."""

    reads = 0

    def get(self, name):
        type(self).reads += 1
        return super().get(name)


class SitePool(ConnectionPool):
    """A site's own pool, as Sentinel's is."""


def tagged(key: str, prefix: str, version: int) -> str:
    return f"tenant-seven/{version}/{prefix}/{key}"


def default(settings, **changes) -> None:
    """Change the settings of the default cache."""
    options = {**settings.CACHES["default"].get("OPTIONS", {}), **changes.pop("OPTIONS", {})}
    settings.CACHES = {**settings.CACHES, "default": {**settings.CACHES["default"], **changes, "OPTIONS": options}}


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """The keys that clients were asked for, rather than connections."""
    asked: list[str] = []
    get = redis.Redis.get
    monkeypatch.setattr(redis.Redis, "get", lambda self, name: asked.append(name) or get(self, name))
    return asked


@pytest.fixture
def pool(redis_cache) -> ConnectionPool:
    return cache.client.get_client().connection_pool


class TestWhereItGoes:
    def test_there_and_back_once(self, redis_cache, pk, token, sendings):
        token_cache.put(pk, token())
        sendings.clear()
        assert token_cache.get(pk) == token()
        assert len(sendings) == 1

    def test_straight_with_a_plain_client(self, redis_cache, pk, token, reads):
        token_cache.put(pk, token())
        assert token_cache.get(pk) == token()
        assert reads == []

    def test_straight_with_a_pool_that_blocks(self, redis_cache, settings, pk, token, reads):
        default(settings, OPTIONS={"CONNECTION_POOL_CLASS": "redis.connection.BlockingConnectionPool"})
        default(settings, LOCATION=f"{redis_cache.url}?max_connections=2")
        token_cache.put(pk, token())
        assert all(found == token() for found in together(6, lambda: token_cache.get(pk)))
        assert reads == []

    def test_through_a_client_of_the_sites_own(self, redis_cache, settings, pk, token):
        default(settings, OPTIONS={"REDIS_CLIENT_CLASS": f"{__name__}.SiteClient"})
        token_cache.put(pk, token())
        before = SiteClient.reads
        assert token_cache.get(pk) == token()
        assert SiteClient.reads == before + 1

    def test_through_the_client_with_another_pool(self, redis_cache, settings, pk, token, reads):
        default(settings, OPTIONS={"CONNECTION_POOL_CLASS": f"{__name__}.SitePool"})
        default(settings, LOCATION=f"{redis_cache.url}?client_name=site")  # pools are kept by address
        token_cache.put(pk, token())
        assert token_cache.get(pk) == token()
        assert len(reads) == 1

    def test_through_the_client_with_client_side_caching(self, redis_cache, pool, pk, token, reads, monkeypatch):
        token_cache.put(pk, token())
        monkeypatch.setattr(redis.Redis, "get", lambda self, name: reads.append(name))
        monkeypatch.setattr(pool, "cache", object())
        token_cache.get(pk)
        assert len(reads) == 1

    def test_through_the_client_with_an_older_redis_py(self, redis_cache, pk, token, reads, monkeypatch):
        monkeypatch.setattr("mail_oauth.raw_redis._STRAIGHT", False)
        token_cache.put(pk, token())
        assert token_cache.get(pk) == token()
        assert len(reads) == 1

    def test_to_a_replica_where_there_is_one(self, redis_cache, settings, pk, token):
        default(settings, LOCATION=[redis_cache.url, redis_cache.url.replace("/0", "/1")])
        token_cache.put(pk, token())
        assert token_cache.get(pk) is None, "the primary was written, and a replica asked"
        with redis_cache.client() as client:
            assert client.move(str(cache.make_key(f"mail_oauth:mail:{pk}")), 1)
        assert token_cache.get(pk) == token()


class TestItComesToTheSame:
    @pytest.mark.parametrize(
        "changes",
        [
            {"KEY_PREFIX": "site", "VERSION": 3},
            {"KEY_FUNCTION": f"{__name__}.tagged", "KEY_PREFIX": "site", "VERSION": 3},
            {"OPTIONS": {"SERIALIZER": "django_redis.serializers.json.JSONSerializer"}},
            {"OPTIONS": {"COMPRESSOR": "django_redis.compressors.zlib.ZlibCompressor"}},
            {"OPTIONS": {"IGNORE_EXCEPTIONS": True}},
        ],
        ids=["prefix", "function", "serializer", "compressor", "silence"],
    )
    def test_with_any_settings_of_the_cache(self, redis_cache, settings, pk, token, changes):
        default(settings, **changes)
        token_cache.put(pk, token())
        assert token_cache.get(pk) == token()
        with redis_cache.client() as client:
            assert client.get(str(cache.make_key(f"mail_oauth:mail:{pk}"))).startswith(b"1|1|")
            assert len(client.keys()) == 1

    def test_when_the_settings_name_another_cache(self, redis_cache, settings, pk, token):
        token_cache.put(pk, token(1))
        settings.CACHES = {
            **settings.CACHES,
            "tokens": {**settings.CACHES["default"], "LOCATION": redis_cache.url.replace("/0", "/2")},
        }
        settings.MAIL_OAUTH = {"CACHE": "tokens"}
        assert token_cache.get(pk) is None
        token_cache.put(pk, token(2))
        assert token_cache.get(pk).generation == 2
        settings.MAIL_OAUTH = {}
        assert token_cache.get(pk).generation == 1
        caches["tokens"].clear()


class TestAConnection:
    def test_that_the_server_closed_is_opened_again(self, redis_cache, pk, token):
        token_cache.put(pk, token())
        with redis_cache.client() as client:
            client.client_kill_filter(skipme=True, _type="normal")
        assert token_cache.get(pk) == token()

    def test_goes_back_to_the_pool_whatever_happens(self, redis_cache, pool, pk, token):
        token_cache.put(pk, token())
        with redis_cache.client() as client:
            client.delete(str(cache.make_key(f"mail_oauth:mail:{pk}")))
            client.lpush(str(cache.make_key(f"mail_oauth:mail:{pk}")), "a list")
        assert token_cache.get(pk) is None
        redis_cache.kill()
        assert token_cache.get(pk) is None
        assert not pool._in_use_connections
        redis_cache.start()
        assert token_cache.put(pk, token())
        assert token_cache.get(pk) == token()

    def test_is_tried_as_often_as_the_site_says(self, redis_cache, settings, pk, token, monkeypatch):
        retry = Retry(NoBackoff(), 2)
        default(settings, OPTIONS={"CONNECTION_POOL_KWARGS": {"retry": retry}})
        default(settings, LOCATION=f"{redis_cache.url}?client_name=unsteady")
        token_cache.put(pk, token())
        faults = iter([redis.ConnectionError, redis.TimeoutError])
        send = redis.Connection.send_command

        def unsteady(self, *args, **kwargs):
            if args[0] == "GET" and (fault := next(faults, None)):
                raise fault
            return send(self, *args, **kwargs)

        monkeypatch.setattr(redis.Connection, "send_command", unsteady)
        assert token_cache.get(pk) == token()

    def test_is_no_threads_own(self, redis_cache, token):
        items = {uuid4(): token(generation, value=f"token {generation}") for generation in range(1, 30)}
        token_cache.put_many(items)
        lock, left = threading.Lock(), list(items) * 20

        def read() -> None:
            while True:
                with lock:
                    if not left:
                        return
                    pk = left.pop()
                assert token_cache.get(pk) == items[pk]

        together(8, read)
