"""Redis fails in every way under load: every answer stays valid, and no grant is lost."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.chaos.rig import FULL, SEED, Rig, report, size
from tests.services import Redis

DATABASES = [pytest.param("on_postgres", marks=pytest.mark.postgres), *(["on_sqlite"] if FULL else [])]

Trouble = Callable[[Redis], AbstractContextManager[None]]


@contextmanager
def flushed(redis: Redis) -> Iterator[None]:
    redis.flush()
    yield


@contextmanager
def killed(redis: Redis) -> Iterator[None]:
    redis.kill()
    yield
    redis.start()


@contextmanager
def a_replica(redis: Redis) -> Iterator[None]:
    """A failover elsewhere has made it a read-only replica, whose master cannot be reached."""
    with told(redis, "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"):
        yield


@contextmanager
def without_replicas(redis: Redis) -> Iterator[None]:
    """It has lost its replicas and takes no writes meanwhile."""
    with told(redis, "CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0"):
        yield


@contextmanager
def full(redis: Redis) -> Iterator[None]:
    """It has no room left, and is told to evict nothing."""
    with told(redis, "CONFIG SET maxmemory 1mb", "CONFIG SET maxmemory 0"):  # which evicts nothing by default
        yield


@contextmanager
def slow(redis: Redis) -> Iterator[None]:
    with told(redis, "CLIENT PAUSE 400 ALL"):
        yield


@contextmanager
def silent(redis: Redis) -> Iterator[None]:
    """It answers nothing for longer than its clients' patience of two seconds."""
    with told(redis, "CLIENT PAUSE 2600 ALL"):
        time.sleep(2.6)
        yield


TROUBLES: list[Trouble] = [flushed, killed, a_replica, without_replicas, full, slow, *([silent] if FULL else [])]


@contextmanager
def told(redis: Redis, first: str, last: str = "") -> Iterator[None]:
    """Send a command, and in the end another."""
    with redis.client() as client:
        client.execute_command(*first.split())
        try:
            yield
        finally:
            if last:
                client.execute_command(*last.split())


@pytest.mark.timeout(600)
@pytest.mark.parametrize("database", DATABASES)
def test_every_answer_is_valid_whatever_becomes_of_redis(
    request: pytest.FixtureRequest, database: str, redis: Redis, django_db_blocker
):
    rig: Rig = request.getfixturevalue(database)
    with django_db_blocker.unblock(), rig.nursery(redis=redis) as nursery:
        rows = {str(row.pk): row for row in (rig.mailbox() for _ in range(10))}
        for number in range(3):
            nursery.fork("read_on", pks=list(rows), threads=4, seed=SEED + number)
        troubles = _torment(redis, size(60, 9), random.Random(SEED))
        nursery.stop()
        answers = nursery.answers()
        stored = list(rig.rows.filter(pk__in=rows))
    for answer in answers:
        assert rig.provider.is_valid_access_token(answer.token, rows[answer.mailbox].email)
    assert all(map(rig.honours, stored))
    posts = sum(rig.posts(row.email) for row in stored)
    assert posts == sum(row.generation - rows[str(row.pk)].generation for row in stored)
    report.append(f"Redis in trouble, {rig.where}: {dict(troubles)}")
    report.append(f"  {len(answers)} answers, {posts} POSTs, none invalid")


def _torment(redis: Redis, number: int, chance: random.Random) -> Counter[str]:
    """So many troubles, each kind once at least, with quiet between."""
    troubles = [*TROUBLES, *chance.choices(TROUBLES, k=number - len(TROUBLES))]
    chance.shuffle(troubles)
    for trouble in troubles:
        with trouble(redis):
            time.sleep(chance.uniform(0.05, 0.4))
        time.sleep(chance.uniform(0.05, 0.3))
    return Counter(trouble.__name__ for trouble in troubles)
