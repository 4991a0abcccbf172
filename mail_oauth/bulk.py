"""Many keys of a Django cache at once: in one or two commands on django-redis, as well as it can be done elsewhere.

All functions raise whatever the cache raises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.cache import caches
from django.core.cache.backends.base import BaseCache, default_key_func
from django_redis import get_redis_connection
from django_redis.cache import RedisCache

from mail_oauth import raw_redis


def starts(alias: str, keys: Sequence[str], size: int) -> list[Any]:
    """Return the first `size` bytes of many values, or more of them; something empty for nothing."""
    cache = caches[alias]
    if isinstance(cache, RedisCache):
        return list(raw_redis.starts(_client(alias), _made(cache, keys), size)) if keys else []
    values = cache.get_many(keys)
    return [values.get(key) for key in keys]


def exist(alias: str, keys: Sequence[str]) -> list[bool]:
    """Tell of each key whether something stands there."""
    cache = caches[alias]
    if isinstance(cache, RedisCache):
        return raw_redis.exist(_client(alias), _made(cache, keys)) if keys else []
    values = cache.get_many(keys)
    return [key in values for key in keys]


def remove(alias: str, starts: Mapping[str, bytes]) -> list[bool]:
    """Remove each key whose value still begins as it is said to; tell of each whether it was removed."""
    cache = caches[alias]
    if isinstance(cache, RedisCache):
        begun = list(zip(_made(cache, list(starts)), starts.values(), strict=True))
        return raw_redis.remove_many(_client(alias, write=True), begun) if begun else []
    return [_remove(cache, key, start) for key, start in starts.items()]


def _remove(cache: BaseCache, key: str, start: bytes) -> bool:
    held = cache.get(key)  # best effort: between this line and the last is a gap
    if not isinstance(held, bytes) or not held.startswith(start):
        return False
    cache.delete(key)
    return True


def _client(alias: str, *, write: bool = False) -> Any:
    return get_redis_connection(alias, write=write)


def _made(cache: RedisCache, keys: Sequence[str]) -> list[str]:
    """Return what `make_key` makes of each key: asked for each of a million, it would take longer than Redis."""
    if cache.key_func is default_key_func and type(cache).make_key is BaseCache.make_key:
        return [f"{cache.key_prefix}:{cache.version}:{key}" for key in keys]
    return [str(cache.make_key(key)) for key in keys]
