"""Many keys are looked at at once: alike on every cache, in few commands on Redis, and on a cluster as well."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.cache import cache, caches
from redis.exceptions import ConnectionError as RedisConnectionError

from mail_oauth import bulk, parking
from mail_oauth.cache import Header, cache_key, token_cache
from tests.services import Redis, RedisCluster
from tests.services.redis import ClusterNode
from tests.settings import redis_cache as redis_cache_settings

TOKEN_BYTES = 4000


def put_raw(key: str, value: Any) -> None:
    """Put something where a value of this app would stand, as raw as the cache takes it."""
    if hasattr(cache, "client"):
        cache.client.get_client().set(str(cache.make_key(key)), value)
    else:
        cache.set(key, value)


def tailored_key(key: str, prefix: str, version: int) -> str:
    """A site's KEY_FUNCTION."""
    return f"{prefix}/{version}/{key[::-1]}"


@pytest.fixture
def some(any_cache, token) -> dict[str, UUID]:
    """Mailboxes with a copy, a tombstone, nothing, and what this app did not write."""
    return filled(token)


def filled(token: Callable[..., Any]) -> dict[str, UUID]:
    some = {name: uuid4() for name in ("copy", "tombstone", "nothing", "lines", "short")}
    token_cache.put(some["copy"], token(7, value="x" * TOKEN_BYTES))
    token_cache.bury(some["tombstone"], 8)
    put_raw(cache_key(some["lines"], "mail"), b"one\ntwo\n|three|")
    put_raw(cache_key(some["short"], "mail"), b"1|")
    return some


def exist(pks: Iterable[UUID]) -> list[bool]:
    return bulk.exist("default", cache_key("", "mail"), list(pks))


def header_of(token: Any) -> str:
    return f"1|{token.generation}|{int(token.issued_at.timestamp())}|{int(token.expires_at.timestamp())}|"


class TestLookingAtMany:
    def test_finds_headers(self, some, token):
        found = token_cache.headers(list(some.values()))
        named = {name: found[pk] for name, pk in some.items()}
        assert named.pop("copy").generation == 7
        assert named == {"tombstone": Header(8, 0, 0), "nothing": None, "lines": None, "short": None}

    def test_finds_them_across_commands(self, some, monkeypatch):
        whole = token_cache.headers(list(some.values()))
        for number in (1, 2, 4, 5, 6):
            monkeypatch.setattr(bulk, "KEYS_AT_ONCE", number)
            assert token_cache.headers(list(some.values())) == whole

    def test_tells_what_is_there(self, some):
        assert exist(some.values()) == [name != "nothing" for name in some]
        assert exist([uuid4(), uuid4()]) == [False, False]

    def test_may_be_looking_at_none(self, any_cache):
        assert (exist([]), bulk.starts("default", "x", [], 5), bulk.values("default", "x", [])) == ([], [], [])
        assert (token_cache.headers([]), token_cache.differing({}), token_cache.forget_many({})) == ({}, [], set())

    def test_finds_parked_pairs(self, any_cache):
        pks = [uuid4() for _ in range(5)]
        assert parking.waiting(pks) == []
        for pk in pks[1:3]:
            put_raw(cache_key(pk, "parked"), b"1|1|1|1|")
        assert parking.waiting(pks) == pks[1:3]


class TestWhatDiffers:
    def test_is_a_copy_with_another_header(self, any_cache, pk, token):
        stored = token(7, seconds=3600)
        token_cache.put(pk, stored)
        assert token_cache.differing({pk: header_of(stored)}) == []
        for other in (token(8), token(6), token(7, seconds=3601), token(17)):
            assert token_cache.differing({pk: header_of(other)}) == [pk]

    def test_is_one_whose_header_begins_alike(self, any_cache, pk, token):
        token_cache.put(pk, token(12345678901))
        assert token_cache.differing({pk: header_of(token(1))}) == [pk]

    def test_is_whatever_is_there_where_nothing_should_be(self, some):
        nothing = dict.fromkeys(some.values(), "")
        assert set(token_cache.differing(nothing)) == set(some.values()) - {some["nothing"]}

    def test_is_whatever_is_there_where_nobody_knows(self, some):
        unknown = dict.fromkeys(some.values())
        assert set(token_cache.differing(unknown)) == set(some.values())

    def test_is_nothing_where_a_token_should_be(self, some, token):
        expected = dict.fromkeys((some["nothing"], some["lines"], some["short"]), header_of(token()))
        assert token_cache.differing(expected) == list(expected)


class TestForgettingMany:
    def test_removes_those_that_are_still_the_same(self, any_cache, token):
        same, changed, gone, buried = (uuid4() for _ in range(4))
        for pk in (same, changed, gone):
            token_cache.put(pk, token(3))
        token_cache.bury(buried, 4)
        held = token_cache.headers([same, changed, gone, buried])
        token_cache.put(changed, token(4))
        token_cache.forget(gone)
        assert token_cache.forget_many(held) == {same, buried}
        assert token_cache.get(changed) == token(4)
        assert token_cache.headers([same, buried]) == {same: None, buried: None}

    def test_in_a_cache_that_fails_removes_none(self, redis_cache, pk):
        redis_cache.kill()
        assert token_cache.forget_many({pk: Header(1, 2, 3)}) == set()


def test_many_are_buried_unless_a_newer_one_stands_there(any_cache, token):
    alive, older, newer = (uuid4() for _ in range(3))
    token_cache.put(older, token(2))
    token_cache.put(newer, token(9))
    assert token_cache.bury_many({alive: 5, older: 5, newer: 5}) == {alive, older}
    assert token_cache.get(newer) == token(9)


def commands(redis: Redis) -> dict[str, int]:
    """How often each command was called, by clients or by scripts."""
    with redis.client() as client:
        stats: dict[str, Any] = client.info("commandstats")
    return {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}


def sent(redis: Redis) -> int:
    with redis.client() as client:
        return int(client.info("stats")["total_net_output_bytes"])


class TestOnRedis:
    def test_one_command_looks_at_many(self, redis_cache, token, monkeypatch):
        monkeypatch.setattr(bulk, "KEYS_AT_ONCE", 10)
        pks = [uuid4() for _ in range(30)]
        token_cache.put_many({pk: token(value="x" * TOKEN_BYTES) for pk in pks})
        token_cache.headers(pks)
        with redis_cache.client() as redis:
            redis.config_resetstat()
        assert token_cache.differing(dict.fromkeys(pks, header_of(token()))) == []
        assert parking.waiting(pks) == []
        counted = commands(redis_cache)
        assert (counted["evalsha"], counted["getrange"], counted["exists"]) == (3, 30, 3)
        assert "get" not in counted
        assert "mget" not in counted

    def test_no_token_is_transferred(self, redis_cache, token):
        pks = [uuid4() for _ in range(100)]
        token_cache.put_many({pk: token(value="x" * TOKEN_BYTES) for pk in pks})
        expected = dict.fromkeys(pks, header_of(token()))
        token_cache.differing(expected)
        before = sent(redis_cache)
        token_cache.differing(expected)
        own = 10_000  # what INFO itself answers
        assert sent(redis_cache) - before < 100 * 64 + own < 100 * TOKEN_BYTES / 10

    def test_what_holds_no_string_is_nothing(self, redis_cache, pk, token):
        copy, listed = uuid4(), cache_key(pk, "mail")
        token_cache.put(copy, token(3))
        with redis_cache.client() as redis:
            redis.lpush(str(cache.make_key(listed)), "a list")
        assert token_cache.headers([pk, copy])[pk] is None
        put_raw(cache_key(uuid4(), "mail"), b"\n")
        assert bulk.starts("default", cache_key("", "mail"), [pk, copy], 4) == [b"", b"1|3|"]

    @pytest.mark.parametrize("foreign", [b"\n", b"a\nb\nc"])
    def test_a_foreign_value_moves_no_answer_to_another_key(self, redis_cache, token, foreign):
        copies = [uuid4() for _ in range(4)]
        token_cache.put_many({pk: token(number) for number, pk in enumerate(copies, 1)})
        listed, odd = uuid4(), uuid4()
        put_raw(cache_key(odd, "mail"), foreign)
        with redis_cache.client() as redis:
            redis.lpush(str(cache.make_key(cache_key(listed, "mail"))), "a list")
        found = token_cache.headers([copies[0], odd, copies[1], listed, copies[2], copies[3]])
        assert [found[pk].generation for pk in copies] == [1, 2, 3, 4]
        assert (found[odd], found[listed]) == (None, None)

    def test_it_works_after_a_restart(self, redis_cache, pk, token):
        token_cache.headers([pk])
        redis_cache.kill()
        redis_cache.start()
        cache.client.get_client().connection_pool.disconnect()
        token_cache.put(pk, token(1))
        assert token_cache.headers([pk])[pk].generation == 1
        assert token_cache.forget_many(token_cache.headers([pk])) == {pk}

    def test_a_cache_that_fails_is_told_from_an_empty_one(self, redis_cache, pk):
        redis_cache.kill()
        for look in (
            token_cache.headers,
            parking.waiting,
            lambda pks: token_cache.differing(dict.fromkeys(pks, "")),
        ):
            with pytest.raises(RedisConnectionError):
                look([pk])

    @pytest.mark.parametrize(
        "options",
        [
            {"KEY_FUNCTION": "tests.cache.test_bulk.tailored_key"},
            {"KEY_PREFIX": "site", "VERSION": 3},
            {"OPTIONS": {"SERIALIZER": "django_redis.serializers.json.JSONSerializer"}},
            {"OPTIONS": {"COMPRESSOR": "django_redis.compressors.zlib.ZlibCompressor"}},
        ],
        ids=["function", "prefix", "serializer", "compressor"],
    )
    def test_whatever_the_sites_options(self, redis_cache, settings, token, options):
        default = {**settings.CACHES["default"], **options}
        default["OPTIONS"] = {**redis_cache_settings(redis_cache.url)["OPTIONS"], **options.get("OPTIONS", {})}
        settings.CACHES = {**settings.CACHES, "default": default}
        some = filled(token)
        assert token_cache.get(some["copy"]).generation == 7
        assert token_cache.headers([some["copy"]])[some["copy"]].generation == 7
        assert exist(some.values()).count(True) == 4
        assert token_cache.forget_many({some["tombstone"]: Header(8, 0, 0)}) == {some["tombstone"]}


class TestOnAReplica:
    @pytest.fixture
    def replica(self, calm_redis, settings) -> Iterator[Redis]:
        """Reads go to a replica, writes to the Redis of `redis_cache`."""
        with calm_redis.client() as client:
            client.config_set("repl-diskless-sync-delay", 0)
        with Redis() as second:
            with second.client() as client:
                client.replicaof("127.0.0.1", str(calm_redis.port))
                while client.info("replication")["master_link_status"] != "up":
                    time.sleep(0.05)
            both = {**redis_cache_settings(calm_redis.url), "LOCATION": [calm_redis.url, second.url]}
            settings.CACHES = {**settings.CACHES, "default": both}
            yield second

    def test_it_is_read(self, replica, redis_cache, token):
        some = filled(token)
        with redis_cache.client() as redis:
            assert redis.wait(1, 1500) == 1
        assert token_cache.headers([some["copy"]])[some["copy"]].generation == 7
        assert set(token_cache.differing(dict.fromkeys(some.values(), ""))) == set(some.values()) - {
            some["nothing"]
        }
        assert parking.waiting(list(some.values())) == []
        assert commands(replica)["evalsha"] >= 1
        assert commands(replica)["exists"] == 1


class TestOnACluster:
    """A command that names keys of several slots is refused there, by the client or by the node."""

    @pytest.fixture
    def cluster_cache(self, redis_cluster, settings) -> Iterator[RedisCluster]:
        """The default cache is a cluster of three nodes."""
        redis_cluster.flush()
        options = {"CLIENT_CLASS": "tests.cache.cluster_client.ClusterClient"}
        default = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": redis_cluster.url, "OPTIONS": options}
        settings.CACHES = {**settings.CACHES, "default": default}
        yield redis_cluster
        caches["default"].client.get_client().close()

    def test_all_is_the_same(self, cluster_cache, token):
        pks = [uuid4() for _ in range(50)]
        assert token_cache.put_many({pk: token(3) for pk in pks}) == set(pks)
        assert token_cache.differing(dict.fromkeys(pks, header_of(token(3)))) == []
        assert set(token_cache.differing(dict.fromkeys(pks, header_of(token(4))))) == set(pks)
        assert {header.generation for header in token_cache.headers(pks).values()} == {3}
        assert token_cache.bury_many(dict.fromkeys(pks[:10], 4)) == set(pks[:10])
        assert token_cache.forget_many(dict.fromkeys(pks[:10], Header(4, 0, 0))) == set(pks[:10])
        assert exist(pks) == [False] * 10 + [True] * 40
        assert parking.waiting(pks) == []
        assert token_cache.get(pks[20]) == token(3)

    def test_the_keys_lie_on_all_nodes(self, cluster_cache, token):
        token_cache.put_many({uuid4(): token() for _ in range(50)})
        for node in cluster_cache.nodes:
            with node.client() as client:
                assert client.dbsize() > 0

    def test_what_holds_no_string_is_nothing(self, cluster_cache, token):
        some = filled(token)
        listed = uuid4()
        cluster_cache.client().lpush(str(cache.make_key(cache_key(listed, "mail"))), "a list")
        found = token_cache.headers([*some.values(), listed])
        assert found[listed] is None
        assert found[some["copy"]].generation == 7

    def test_a_node_refuses_what_a_plain_client_asks(self, redis_server, token, settings):
        """One node holds all slots; a client that knows of no cluster reaches it, but not with keys of two slots."""
        with ClusterNode() as node:
            with node.client() as client:
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
                while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                    pass
            settings.CACHES = {**settings.CACHES, "default": redis_cache_settings(node.url)}
            pks = [uuid4() for _ in range(20)]
            assert token_cache.put_many({pk: token(3) for pk in pks}) == set(pks)
            assert token_cache.differing(dict.fromkeys(pks, header_of(token(3)))) == []
            assert parking.waiting(pks) == []
            assert commands(node)["getrange"] >= 20
            caches["default"].client.get_client().connection_pool.disconnect()
