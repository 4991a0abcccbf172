"""The cache of access tokens: a value goes there and comes back, by the very commands that tokens go by."""

from __future__ import annotations

import time
from collections.abc import Iterator
from uuid import uuid4

from django.core.cache import caches
from django_redis.cache import RedisCache

from mail_oauth import bulk
from mail_oauth.cache import Header, cache_key, read_raw, remove, write_unless_newer
from mail_oauth.conf import app_settings
from mail_oauth.upkeep.doctor.findings import Outcome, doubtful, fine, wrong
from mail_oauth.upkeep.doctor.redis import PROBES as REDIS_PROBES
from mail_oauth.upkeep.doctor.rounds import Probe, Round

RESOURCE = "doctor"

_SECONDS = 60
_REPLICA_SECONDS = 1.0  # for which a replica that is read from may lag behind
_HEADER = Header(1, 1, 2)
_BODY = b"a doctor's value"


def _round_trip(alias: str) -> Iterator[Outcome]:
    key = cache_key(uuid4(), RESOURCE)
    try:
        write_unless_newer(key, _HEADER, _BODY, _SECONDS)
        found = _read_back(key)
        remove(key)
    except Exception as error:  # noqa: BLE001  # whatever a cache backend raises
        yield wrong(
            f"Cannot be used ({type(error).__name__}): tokens come from the database, slower.",
            f'Check CACHES["{alias}"], and that its user may run GET, SET, DEL, EVALSHA and SCRIPT LOAD.',
        )
        return
    if not found:
        yield doubtful(
            "Keeps nothing of what is written: tokens come from the database, slower.",
            "Use django_redis.cache.RedisCache; see whether its memory is full.",
        )
    elif bulk.is_private(alias):
        yield fine("A value went there and came back; it is this process's own memory.")
    else:
        yield fine("A value went there and came back.")


def _read_back(key: str) -> bool:
    give_up_at = time.monotonic() + _REPLICA_SECONDS
    while read_raw(key) != _HEADER.bytes() + _BODY:
        if time.monotonic() > give_up_at:
            return False
        time.sleep(0.05)
    return True


def cache_round() -> Round:
    """Return the round of the cache that tokens are kept in; on Redis its server is asked as well."""
    alias = app_settings().cache
    return Round(alias, PROBES + REDIS_PROBES if _is_on_redis(alias) else PROBES, alias)


def _is_on_redis(alias: str) -> bool:
    try:
        return isinstance(caches[alias], RedisCache)
    except Exception:  # noqa: BLE001  # no such alias or backend, or one that refuses its options: the round trip says so
        return False


PROBES = (Probe(id="cache.roundtrip", what="whether a value goes to the cache and comes back", look=_round_trip),)
