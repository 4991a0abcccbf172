"""Many keys of a Django cache at once: in one or two commands on django-redis, as well as it can be done elsewhere.

All functions raise whatever the cache raises.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache, default_key_func
from django_redis import get_redis_connection
from django_redis.cache import RedisCache

from mail_oauth import raw_redis

KEYS_AT_ONCE = 1000
"""How many keys one command names: some three milliseconds of Redis' time, in which it serves nobody else."""


_PRIVATE = ("locmem.LocMemCache", "dummy.DummyCache")


def is_private(alias: str) -> bool:
    """Tell whether each process has a cache of its own under this alias, or none; nothing is connected to."""
    return str(settings.CACHES.get(alias, {}).get("BACKEND", "")).endswith(_PRIVATE)


def is_the_same_in_any_thread(alias: str) -> bool:
    """Tell whether another thread finds the same under the same keys.

    Not in Django's database cache, where each has a connection and a transaction of its own, and not with a
    KEY_FUNCTION, which may know whose keys they are in the caller's thread only.
    """
    cache = caches[alias]
    return isinstance(cache, RedisCache) and cache.key_func is default_key_func


def starts(alias: str, begin: str, names: Sequence[object], size: int) -> list[bytes]:
    """Return the first `size` bytes of the values of `begin` + each name; empty for nothing, and for other than bytes."""
    cache = caches[alias]
    if isinstance(cache, RedisCache):
        client, made = _client(alias), _made(cache, begin, names)
        return [start for keys in _parts(made) for start in raw_redis.starts(client, keys, size)]
    return [_start(value, size) for keys in _parts(_keys(begin, names)) for value in _values(cache, keys)]


def values(alias: str, begin: str, names: Sequence[object]) -> list[bytes]:
    """Return such values whole; they should be small."""
    cache = caches[alias]
    if isinstance(cache, RedisCache):
        client, made = _client(alias), _made(cache, begin, names)
        return [value for keys in _parts(made) for value in raw_redis.values(client, keys)]
    return [_start(value, None) for keys in _parts(_keys(begin, names)) for value in _values(cache, keys)]


def exist(alias: str, begin: str, names: Sequence[object]) -> list[bool]:
    """Tell of each such key whether something stands there."""
    cache = caches[alias]
    if isinstance(cache, RedisCache):
        client, made = _client(alias), _made(cache, begin, names)
        return [found for keys in _parts(made) for found in raw_redis.exist(client, keys)]
    return [value is not None for keys in _parts(_keys(begin, names)) for value in _values(cache, keys)]


def remove(alias: str, starts: Mapping[str, bytes]) -> list[bool]:
    """Remove each key whose value still begins as it is said to; tell of each whether it was removed."""
    cache = caches[alias]
    if isinstance(cache, RedisCache):
        begun = list(zip(_made(cache, "", list(starts)), starts.values(), strict=True))
        return raw_redis.remove_many(_client(alias, write=True), begun) if begun else []
    return [_remove(cache, key, start) for key, start in starts.items()]


def _parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[start : start + KEYS_AT_ONCE] for start in range(0, len(keys), KEYS_AT_ONCE))


def _values(cache: BaseCache, keys: Sequence[str]) -> list[Any]:
    found = cache.get_many(keys)
    return [found.get(key) for key in keys]


def _start(value: Any, size: int | None) -> bytes:
    return value[:size] if isinstance(value, bytes) else b""


def _remove(cache: BaseCache, key: str, start: bytes) -> bool:
    held = cache.get(key)  # best effort: between this line and the last is a gap
    if not isinstance(held, bytes) or not held.startswith(start):
        return False
    cache.delete(key)
    return True


def _client(alias: str, *, write: bool = False) -> Any:
    return get_redis_connection(alias, write=write)


def _keys(begin: str, names: Sequence[object]) -> list[str]:
    return [f"{begin}{name}" for name in names]


def _made(cache: RedisCache, begin: str, names: Sequence[object]) -> list[str]:
    """Return what `make_key` makes of each key: asked for each of a million, it would take longer than Redis."""
    if cache.key_func is default_key_func and type(cache).make_key is BaseCache.make_key:
        return _keys(f"{cache.key_prefix}:{cache.version}:{begin}", names)
    return [str(cache.make_key(key)) for key in _keys(begin, names)]
