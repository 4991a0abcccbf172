"""The Redis behind the cache: may it evict what must stay, does it take writes, what does it keep over a restart.

Every key of this app has a time to live: tokens up to their expiry, tombstones a day, marks and parked pairs seven.
All but the parked pairs can be made again. So the policies differ in what they do to those, when memory is full:

- `noeviction` keeps them. New writes are refused, loudly; tokens then come from the database.
- `volatile-ttl` evicts first what ends first: access tokens, hours before any parked pair. It samples, so that this
  holds nearly always.
- any other `volatile-*` takes them like tokens, and any `allkeys-*` like everything else, messages of Celery included.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import redis
from django_redis import get_redis_connection

from mail_oauth.upkeep.doctor.findings import Outcome, doubtful, fine, unknown, wrong
from mail_oauth.upkeep.doctor.rounds import Probe

KEEPING = frozenset({"noeviction", "volatile-ttl"})
"""The eviction policies that spare parked pairs."""

_NEEDED = "cache.roundtrip"
_Facts = Mapping[str, Any]


def _facts(alias: str, section: str) -> list[_Facts]:
    """Return what each server says of itself: one, or the primaries of a cluster. Raises what Redis raises."""
    client = get_redis_connection(alias, write=True)
    if isinstance(client, redis.RedisCluster):
        found = client.info(section, target_nodes=redis.RedisCluster.PRIMARIES)
        return list(found.values()) if all(isinstance(part, dict) for part in found.values()) else [found]
    return [client.info(section)]


def _asked(alias: str, section: str) -> list[_Facts] | Outcome:
    try:
        return _facts(alias, section)
    except redis.RedisError as error:
        return unknown(
            f"INFO cannot be asked for ({type(error).__name__}).", "Let its user run INFO: ACL SETUSER … +info."
        )


def _role(alias: str) -> Iterator[Outcome]:
    facts = _asked(alias, "replication")
    if isinstance(facts, Outcome):
        yield facts
    elif any(each.get("role") == "slave" for each in facts):
        yield wrong(
            "Writes go to a replica, which takes none.",
            f'Name the primary first in CACHES["{alias}"]["LOCATION"].',
        )
    else:
        replicas = sum(int(each.get("connected_slaves", 0)) for each in facts)
        yield fine(f"A primary with {replicas} replicas.")


def _memory(alias: str) -> Iterator[Outcome]:
    facts = _asked(alias, "memory")
    if isinstance(facts, Outcome):
        yield facts
        return
    for each in facts:
        yield _judge_memory(each)


def _judge_memory(facts: _Facts) -> Outcome:
    policy, most = str(facts.get("maxmemory_policy", "")), int(facts.get("maxmemory", 0))
    used = f"{int(facts.get('used_memory', 0)) / 2**20:.0f}"
    if not policy:
        return unknown("It does not say what it evicts.")
    if not most:
        return fine(f"{used} MiB used, without a limit (maxmemory): nothing is evicted.")
    room = f"{used} of {most / 2**20:.0f} MiB used, {policy}"
    if policy in KEEPING:
        return fine(f"{room}: parked token pairs stay.")
    taken = (
        "messages of Celery and parked token pairs as well"
        if policy.startswith("allkeys")
        else "parked token pairs as well"
    )
    return doubtful(
        f"{room}: when memory is full it evicts {taken}.",
        "CONFIG SET maxmemory-policy noeviction (or volatile-ttl), and see that memory does not become full.",
    )


def _persistence(alias: str) -> Iterator[Outcome]:
    facts = _asked(alias, "persistence")
    if isinstance(facts, Outcome):
        yield facts
        return
    for each in facts:
        yield _judge_persistence(each)


def _judge_persistence(facts: _Facts) -> Outcome:
    if facts.get("rdb_last_bgsave_status", "ok") != "ok" or facts.get("aof_last_write_status", "ok") != "ok":
        return doubtful(
            "It could not write to its disk lately, and may refuse writes for that.",
            "See its log, and its disk's space.",
        )
    if int(facts.get("loading", 0)):
        return doubtful("It is still loading its data.", "Wait until it has.")
    appended = (
        "what it is told is appended to a file" if int(facts.get("aof_enabled", 0)) else "no append-only file"
    )
    return fine(f"Disk is in order ({appended}); a restart may drop copies, which are made again.")


PROBES = (
    Probe(id="redis.role", what="whether writes reach a primary", look=_role),
    Probe(
        id="redis.memory",
        what="the eviction policy: `noeviction` and `volatile-ttl` spare parked token pairs",
        look=_memory,
        needs=_NEEDED,
    ),
    Probe(id="redis.persistence", what="whether it can write to its disk", look=_persistence, needs=_NEEDED),
)
