"""Redis is flushed, killed and started again under load: every answer stays valid, and no grant is lost."""

from __future__ import annotations

import random
import time

import pytest

from tests.chaos.rig import FULL, SEED, Rig, report, size
from tests.services import Redis

DATABASES = [pytest.param("on_postgres", marks=pytest.mark.postgres), *(["on_sqlite"] if FULL else [])]


@pytest.mark.parametrize("database", DATABASES)
def test_every_answer_is_valid_while_redis_is_flushed_and_killed(
    request: pytest.FixtureRequest, database: str, redis: Redis, django_db_blocker
):
    rig: Rig = request.getfixturevalue(database)
    seconds = size(20, 2)
    chance = random.Random(SEED)
    with django_db_blocker.unblock(), rig.nursery(redis=redis) as nursery:
        rows = {str(row.pk): row for row in (rig.mailbox() for _ in range(10))}
        for number in range(3):
            nursery.fork("read_on", pks=list(rows), threads=4, seconds=seconds, seed=SEED + number)
        faults = _torment(redis, time.monotonic() + seconds, chance)
        nursery.wait()
        answers = nursery.answers()
        stored = list(rig.rows.filter(pk__in=rows))
    for answer in answers:
        assert rig.provider.is_valid_access_token(answer.token, rows[answer.mailbox].email)
    for row in stored:
        assert row.open_refresh_token().reveal() == rig.provider.newest_refresh_token(row.email)
    posts = sum(rig.posts(row.email) for row in stored)
    assert posts == sum(row.generation - rows[str(row.pk)].generation for row in stored)
    report.append(f"Redis lost, {rig.name}: {faults}, {len(answers)} answers, {posts} POSTs, none invalid")


def _torment(redis: Redis, until: float, chance: random.Random) -> str:
    flushes = kills = 0
    while time.monotonic() < until:
        time.sleep(chance.uniform(0.1, 0.5))
        if chance.random() < 0.5:
            redis.flush()
            flushes += 1
        else:
            redis.kill()
            time.sleep(chance.uniform(0, 0.5))
            redis.start()
            kills += 1
    return f"{flushes} flushes, {kills} kills"
