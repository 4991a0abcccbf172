"""The same layout in a real Redis Cluster: what lies on any of its nodes is brought, whichever of them the URL names."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from mail_oauth.models import MailCredentials
from tests.conftest import started
from tests.moving.conftest import outcomes
from tests.services import RedisCluster

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("provider")]

PASSWORD = "a-password-in-the-open"


@pytest.fixture
def cluster(redis_cluster) -> RedisCluster:
    redis_cluster.flush()
    return redis_cluster


@pytest.fixture
def broken(redis_cluster):
    """A cluster of one test's own, to stop and to lock."""
    yield from started(RedisCluster)


@pytest.fixture
def write(user):
    """Fill a cluster as that application would, until each node has some."""

    def fill(cluster: RedisCluster, count: int = 60) -> list[str]:
        ends = int((timezone.now() + timedelta(minutes=50)).timestamp() * 1000)
        keys = [f"email:credentials:{user.pk}:{number}" for number in range(count)]
        with cluster.client() as client:
            for number, key in enumerate(keys):
                value = {
                    "email": f"many{number}@example.com",
                    "accessToken": f"access-{number}",
                    "refreshToken": f"refresh-{number}",
                    "tokenExpiry": ends,
                }
                client.set(key, json.dumps(value))
        assert all(keys_of(node) for node in cluster.nodes)
        return keys

    return fill


def keys_of(node) -> int:
    with node.client() as client:
        return client.dbsize()


@pytest.mark.parametrize("number", range(3))
def test_all_of_it_arrives_once(number, cluster, write, report):
    keys = write(cluster)
    results = report("redis", "--redis-url", cluster.nodes[number].url, "--provider", "microsoft")
    assert outcomes(results) == ["imported"] * 60
    assert {result["where"] for result in results} == set(keys)
    row = MailCredentials.objects.get(email="many41@example.com")
    assert row.get_access_token().reveal() == "access-41"


def test_what_is_no_entry_is_told_by_its_key(cluster, write, report, user):
    write(cluster, 30)
    with cluster.client() as client:
        for number in range(6):
            client.hset(f"email:credentials:{user.pk}:hash{number}", "refreshToken", "token")
        client.set("session:1", "{}")
    found = report("redis", "--redis-url", cluster.url, "--provider", "microsoft", "--dry-run")
    assert outcomes(found).count("imported") == 30
    told = {result["where"]: result["reason"] for result in found if result["outcome"] == "unreadable"}
    assert told == {f"email:credentials:{user.pk}:hash{number}": "wrong_type" for number in range(6)}


def test_every_node_serves_others_meanwhile(cluster, write, report):
    write(cluster)
    for node in cluster.nodes:
        with node.client() as client:
            client.config_resetstat()
    report("redis", "--redis-url", cluster.url, "--provider", "microsoft")
    for node in cluster.nodes:
        with node.client() as client:
            used = {name.removeprefix("cmdstat_").partition("|")[0] for name in client.info("commandstats")}
        assert {"scan", "getrange"} <= used
        assert used <= {"scan", "getrange", "dbsize", "info", "cluster", "command", "client", "hello", "config"}


def test_a_password_is_for_each_node_and_is_not_told_when_one_is_down(broken, write, report, run):
    write(broken)
    for node in broken.nodes:
        with node.client() as client:
            client.config_set("requirepass", PASSWORD)
    source = ("redis", "--redis-url", broken.url.replace("//", f"//:{PASSWORD}@"), "--provider", "microsoft")
    assert outcomes(report(*source, "--dry-run")) == ["imported"] * 60
    broken.nodes[2].stop()
    code, text = run("import", *source)
    assert code == 1
    assert "Redis could not be read (ConnectionError)" in text
    assert PASSWORD not in text


def test_a_node_that_may_not_name_the_others_is_not_taken_for_all(broken, write, run):
    write(broken)
    with broken.nodes[0].client() as client:
        client.acl_setuser("default", enabled=True, commands=["-cluster"])
    code, text = run("import", "redis", "--redis-url", broken.url, "--provider", "microsoft")
    assert code == 1
    assert "Redis could not be read (RedisClusterException)" in text
    assert not MailCredentials.objects.exists()
