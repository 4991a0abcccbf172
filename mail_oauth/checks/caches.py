"""The cache that holds copies of access tokens, and parked token pairs."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from mail_oauth.bulk import is_private
from mail_oauth.checks.catalogue import Found, found
from mail_oauth.conf import app_settings

_UNPICKLED = "django_redis.cache.RedisCache"
_CULLED = ("db.DatabaseCache", "filebased.FileBasedCache")
_EVICTING = ("memcached.PyMemcacheCache", "memcached.PyLibMCCache")

ENOUGH_ENTRIES = 10_000
"""Below so many values a cache that culls is full soon."""

_DJANGOS_ENTRIES = 300  # what Django's own backends keep where nothing is said


def alias() -> Found:
    """Find a cache that is named and not there."""
    if app_settings().cache not in settings.CACHES:
        yield found("E005", f'MAIL_OAUTH["CACHE"] names {app_settings().cache!r}, which CACHES does not have.', "")


def private() -> Found:
    """Find a cache that others do not share, or that whoever writes to it can run code by."""
    name = app_settings().cache
    backend = str(_options(name).get("BACKEND", ""))
    if is_private(name):
        yield found(
            "W003",
            f"The cache {name!r} is private to one process: others neither see its tokens nor its tombstones, and a "
            "rotated refresh token that the database cannot take at once cannot be parked there for them.",
            'Set CACHES to django_redis.cache.RedisCache, or name a shared cache in MAIL_OAUTH["CACHE"].',
        )
    elif not backend.endswith(_UNPICKLED):
        yield found(
            "W004",
            f"The cache {name!r} pickles its values: whoever can write to it can run code here.",
            "Use django_redis.cache.RedisCache, with which mail_oauth stores raw bytes.",
        )


def full() -> Found:
    """Find a cache that drops at random, or by age, what it has no room for.

    A copy of an access token is made again; a parked pair is the only copy of its grant.
    """
    name = app_settings().cache
    options = _options(name)
    backend = str(options.get("BACKEND", ""))
    if backend.endswith(_CULLED):
        most = _most_entries(options)
        if most < ENOUGH_ENTRIES:
            yield found(
                "W026",
                f"The cache {name!r} keeps {most} values and then drops some at random: with more mailboxes than that "
                "their copies, and token pairs that wait there for the database.",
                'Add "OPTIONS": {"MAX_ENTRIES": 1_000_000} to it, or use django_redis.cache.RedisCache.',
            )
    elif backend.endswith(_EVICTING):
        yield found(
            "W026",
            f"The cache {name!r}, memcached, drops what was not used for long when its memory is full: token pairs that "
            "wait there for the database may be among it.",
            'Name another cache in MAIL_OAUTH["CACHE"], on django_redis.cache.RedisCache.',
        )


def _options(name: str) -> dict[str, Any]:
    return settings.CACHES.get(name, {})


def _most_entries(options: dict[str, Any]) -> int:
    """Return how many values Django lets such a cache have, read as `BaseCache` reads it."""
    named = options.get("MAX_ENTRIES", options.get("OPTIONS", {}).get("MAX_ENTRIES", _DJANGOS_ENTRIES))
    try:
        return int(named)
    except (TypeError, ValueError):
        return _DJANGOS_ENTRIES
