"""Behind Sentinel, and on a cluster: a token is put, found, compared and buried as on one Redis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import redis
from django_redis.pool import ConnectionFactory

from mail_oauth.cache import token_cache
from tests.services import Redis, RedisCluster

if TYPE_CHECKING:
    from pytest_django import Settings


class ClusterFactory(ConnectionFactory):
    """The connection factory by which a site has django-redis speak to a cluster."""

    def connect(self, url: str) -> redis.RedisCluster:
        return redis.RedisCluster.from_url(url)


class Sentinel(Redis):
    """A Sentinel that knows one primary, by the name of `main`."""

    def __init__(self, primary: Redis) -> None:
        super().__init__()
        self.configuration = self.directory / "sentinel.conf"
        self.configuration.write_text(
            f"port {self.port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {primary.port} 1\n"
        )
        self.configuration.chmod(0o666)

    def command(self) -> list[str]:
        return [self.redis_server, str(self.configuration), "--sentinel"]


@pytest.fixture
def a_cluster(redis_cluster: RedisCluster, settings: Settings) -> RedisCluster:
    redis_cluster.flush()
    django_redis = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": redis_cluster.url}
    options = {"CONNECTION_FACTORY": f"{__name__}.ClusterFactory"}
    settings.CACHES = {**settings.CACHES, "default": {**django_redis, "OPTIONS": options}}
    return redis_cluster


@pytest.fixture
def a_sentinel(redis_server: Redis, settings: Settings) -> Iterator[Redis]:
    redis_server.start()
    redis_server.flush()
    with Sentinel(redis_server) as sentinel:
        options = {
            "CLIENT_CLASS": "django_redis.client.SentinelClient",
            "CONNECTION_FACTORY": "django_redis.pool.SentinelConnectionFactory",
            "SENTINELS": [("127.0.0.1", sentinel.port)],
        }
        django_redis = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://main/0"}
        settings.CACHES = {**settings.CACHES, "default": {**django_redis, "OPTIONS": options}}
        yield redis_server


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.redis) for name in ("a_cluster", "a_sentinel")])
def fleet(request: pytest.FixtureRequest) -> Redis | RedisCluster:
    found: Redis | RedisCluster = request.getfixturevalue(request.param)
    return found


class TestTokens:
    def test_are_found_compared_and_buried(self, fleet, pk, token):
        assert token_cache.get(pk) is None
        assert token_cache.put(pk, token(2))
        assert not token_cache.put(pk, token(1))
        assert token_cache.get(pk).generation == 2
        assert token_cache.bury(pk, 3)
        assert not token_cache.put(pk, token(3))
        token_cache.forget(pk)
        assert token_cache.headers([pk]) == {pk: None}

    def test_are_stored_at_once(self, fleet, token):
        items = {uuid4(): token(generation) for generation in range(1, 40)}
        older = uuid4()
        token_cache.put(older, token(50))
        assert token_cache.put_many({**items, older: token(49)}) == set(items)
        assert {pk: found.generation for pk, found in token_cache.headers(list(items)).items()} == {
            pk: stored.generation for pk, stored in items.items()
        }

    @pytest.mark.parametrize("many", [True, False])
    def test_are_stored_where_the_script_was_lost(self, fleet, pk, token, many):
        token_cache.put(pk, token())
        with fleet.client() as client:
            client.script_flush()
        assert token_cache.put_many({pk: token(2)}) if many else token_cache.put(pk, token(2))
