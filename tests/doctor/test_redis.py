"""A real Redis is asked what it evicts, whether it takes writes, and what it keeps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.cache.test_fleets import ClusterFactory
from tests.services import Redis
from tests.settings import redis_cache as redis_settings

pytestmark = [pytest.mark.redis, pytest.mark.django_db]


@pytest.fixture
def server(settings: Any, redis_server: Redis) -> Iterator[Redis]:
    """A Redis of the test's own, which it may configure as it likes, behind the default cache."""
    with Redis() as running:
        use(settings, running.url)
        yield running


def use(settings: Any, url: str) -> None:
    settings.CACHES = {**settings.CACHES, "default": redis_settings(url)}


def configure(server: Redis, **options: Any) -> None:
    with server.client() as client:
        for name, value in options.items():
            client.config_set(name.replace("_", "-"), value)


def test_one_as_it_is_by_default_is_right(doctor, server):
    examined = doctor()
    for identity in ("cache.roundtrip", "redis.role", "redis.memory", "redis.persistence"):
        assert examined.of(identity)["level"] == "ok"
    with server.client() as client:
        assert client.dbsize() == 0, "what was written to see whether it can be is gone"


class TestEviction:
    @pytest.mark.parametrize(
        ("policy", "level"),
        [
            ("noeviction", "ok"),
            ("volatile-ttl", "ok"),
            ("volatile-lru", "warning"),
            ("volatile-random", "warning"),
            ("allkeys-lru", "warning"),
            ("allkeys-lfu", "warning"),
        ],
    )
    def test_must_spare_parked_pairs(self, doctor, server, policy, level):
        configure(server, maxmemory="64mb", maxmemory_policy=policy)
        found = doctor().of("redis.memory")
        assert (found["level"], policy in found["what"]) == (level, True)
        assert ("maxmemory-policy noeviction" in found["hint"]) is (level == "warning")

    def test_by_ttl_really_does_and_by_use_does_not(self, server):
        """The claim behind the two levels, on a full Redis: a pair for a week among tokens for an hour."""

        def parked_left(policy: str) -> int:
            configure(server, maxmemory="0", maxmemory_policy=policy)
            server.flush()
            with server.client() as client:
                for number in range(20):
                    client.set(f"mail_oauth:parked:{number}", b"p" * 2000, ex=7 * 24 * 3600)
                used = int(client.info("memory")["used_memory"])
                configure(server, maxmemory=used + 500_000)
                for number in range(2000):
                    client.set(f"mail_oauth:mail:{number}", b"t" * 2000, ex=3600)
                assert client.info("stats")["evicted_keys"] > 0
                return sum(client.exists(f"mail_oauth:parked:{number}") for number in range(20))

        assert parked_left("volatile-ttl") == 20
        assert parked_left("volatile-lru") < 20
        assert parked_left("allkeys-lru") < 20

    def test_is_none_without_a_limit(self, doctor, server):
        configure(server, maxmemory="0", maxmemory_policy="allkeys-lru")
        found = doctor().of("redis.memory")
        assert (found["level"], "nothing is evicted" in found["what"]) == ("ok", True)


def test_one_that_is_away(doctor, server):
    server.stop()
    examined = doctor()
    assert examined.of("cache.roundtrip")["level"] == "error"
    assert "ConnectionError" in examined.of("cache.roundtrip")["what"]
    assert {examined.of(f"redis.{name}")["level"] for name in ("role", "memory", "persistence")} == {"skipped"}
    assert examined.of("mailboxes.overdue")["level"] == "ok", "the database answers all the same"


def test_one_that_is_full(doctor, server):
    configure(server, maxmemory="1mb", maxmemory_policy="noeviction")
    found = doctor().of("cache.roundtrip")
    assert found["level"] == "error"
    assert "OutOfMemoryError" in found["what"]


def test_a_replica(doctor, server, settings):
    with Redis() as replica:
        with replica.client() as client:
            client.replicaof("127.0.0.1", server.port)
        use(settings, replica.url)
        examined = doctor()
    assert examined.of("cache.roundtrip")["level"] == "error"
    found = examined.of("redis.role")
    assert (found["level"], "LOCATION" in found["hint"]) == ("error", True)


def test_one_that_cannot_write_to_its_disk(doctor, server):
    server.directory.chmod(0o500)  # it is another account's: root alone could write there
    try:
        if not _saving_fails(server):
            pytest.skip("this account writes wherever it likes")
        found = doctor().of("redis.persistence")
        assert (found["level"], "disk" in found["hint"]) == ("warning", True)
    finally:
        server.directory.chmod(0o700)


def _saving_fails(server: Redis) -> bool:
    with server.client() as client:
        client.set("something", "to save")
        client.bgsave()
        while client.info("persistence")["rdb_bgsave_in_progress"]:
            pass
        return bool(client.info("persistence")["rdb_last_bgsave_status"] != "ok")


class TestAUserWithFewRights:
    @pytest.fixture(autouse=True)
    def user(self, doctor, server, settings):
        doctor.never += ["acl-password"]
        use(settings, server.url.replace("//", "//app:acl-password@"))

    def rights(self, server: Redis, *rules: str) -> None:
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "app", "on", ">acl-password", "~*", "+@all", *rules)

    def test_that_may_not_ask_hinders_nothing(self, doctor, server):
        self.rights(server, "-info")
        examined = doctor()
        assert examined.of("cache.roundtrip")["level"] == "ok"
        assert examined.of("redis.memory")["level"] == "skipped"
        assert "+info" in examined.of("redis.memory")["hint"]

    def test_that_may_run_no_script_cannot_be_used(self, doctor, server):
        self.rights(server, "-@scripting")
        found = doctor().of("cache.roundtrip")
        assert (found["level"], "EVALSHA" in found["hint"]) == ("error", True)

    def test_whose_password_is_another(self, doctor, server):
        found = doctor().of("cache.roundtrip")
        assert (found["level"], "AuthenticationError" in found["what"]) == ("error", True)


def test_a_cluster_is_asked_node_by_node(doctor, settings, redis_cluster):
    redis_cluster.flush()
    options = {"CONNECTION_FACTORY": f"{ClusterFactory.__module__}.ClusterFactory"}
    cache = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": redis_cluster.url, "OPTIONS": options}
    settings.CACHES = {**settings.CACHES, "default": cache}
    with redis_cluster.nodes[1].client() as client:
        client.config_set("maxmemory", "64mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        examined = doctor()
    finally:
        with redis_cluster.nodes[1].client() as client:
            client.config_set("maxmemory", "0")
            client.config_set("maxmemory-policy", "noeviction")
    assert examined.of("cache.roundtrip")["level"] == "ok"
    levels = sorted(each["level"] for each in examined.data["findings"] if each["id"] == "redis.memory")
    assert levels == ["ok", "ok", "warning"]
