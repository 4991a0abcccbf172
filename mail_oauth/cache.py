"""The disposable copy of access tokens in a Django cache.

A value is ``1|<generation>|<issued>|<expiry>|<sealed token>``, times in whole seconds since 1970. The header
stands in clear so that generations can be compared without decrypting; it is repeated in the place that the
token is sealed for, so that changing it makes the value unreadable. A tombstone has no token. On django-redis
values are raw bytes through raw commands, so nothing that lies in the cache is ever unpickled.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from django.core.cache import caches
from django.core.cache.backends.base import BaseCache, default_key_func
from django.utils import timezone
from django_redis import get_redis_connection
from django_redis.cache import RedisCache

from mail_oauth import raw_redis
from mail_oauth.conf import app_settings
from mail_oauth.encryption import Sealed, seal, unseal
from mail_oauth.exceptions import SealError
from mail_oauth.tokens import AccessToken, Secret

T = TypeVar("T")
logger = logging.getLogger(__name__)

MAIL = "mail"
"""The resource that a mailbox's own access token opens."""

TOMBSTONE_SECONDS = 24 * 3600
"""How long a disconnected mailbox refuses late writes: longer than any access token lives."""

LAST_GENERATION = 2**53 - 1
"""The generation of a row that is gone, the greatest that Lua counts exactly: nothing comes after it."""

_HEADER_BYTES = 64


@dataclass(frozen=True, slots=True)
class Header:
    """What a cached value says of itself in clear. `expiry` 0 marks a tombstone."""

    generation: int
    issued: int
    expiry: int

    def bytes(self) -> bytes:
        """Return the header as it is stored."""
        return f"1|{self.generation}|{self.issued}|{self.expiry}|".encode()

    @classmethod
    def parse(cls, raw: Any) -> Header | None:
        """Read the start of a stored value; None for anything that this app did not write."""
        parts = raw[:_HEADER_BYTES].split(b"|", 4) if isinstance(raw, bytes) else []
        if len(parts) != 5 or parts[0] != b"1" or not all(part.isdigit() for part in parts[1:4]):
            return None
        return cls(*(int(part) for part in parts[1:4]))


class Copy(NamedTuple):
    """A value on its way into the cache: what comes after its header, and for how many seconds it stays."""

    key: str
    header: Header
    text: str
    seconds: float

    def bytes(self) -> bytes:
        """Return the value as it is stored."""
        return self.header.bytes() + self.text.encode("ascii")


class TokenCache:
    """Access tokens by mailbox and resource. A cache that fails costs time: every fault reads as a miss."""

    def get(self, pk: UUID | str, resource: str = MAIL) -> AccessToken | None:
        """Return the copy, or None when there is none that can be trusted."""
        raw = tolerantly(lambda: read_raw(cache_key(pk, resource)), None)
        header = Header.parse(raw)
        if header is None or not header.expiry:
            return None
        try:
            text = raw[len(header.bytes()) :].decode("ascii", "replace")
            secret = unseal(Sealed(text), place_of(pk, resource, header))
        except SealError as error:
            logger.warning("cached token refused", extra={"mailbox": str(pk), "cause": str(error)})
            self.forget(pk, resource)
            return None
        return AccessToken(
            secret.reveal(),
            issued_at=datetime.fromtimestamp(header.issued, UTC),
            expires_at=datetime.fromtimestamp(header.expiry, UTC),
            generation=header.generation,
        )

    def put(self, pk: UUID | str, token: AccessToken, resource: str = MAIL) -> bool:
        """Store a copy until the token expires, unless a newer generation or a tombstone stands there."""
        copy = _copy(pk, token, resource)
        return copy is not None and tolerantly(lambda: write_unless_newer(*copy), False)

    def put_many(self, items: Mapping[UUID, AccessToken], resource: str = MAIL) -> set[UUID]:
        """Store many copies, in one round trip where the cache can do that; return whose were stored."""
        copies = {pk: copy for pk, token in items.items() if (copy := _copy(pk, token, resource)) is not None}
        stored: set[UUID] = set()
        tolerantly(lambda: _write_many(copies, stored), None)
        return stored

    def bury(self, pk: UUID | str, generation: int, resource: str = MAIL) -> bool:
        """Leave a tombstone, so that no late result of an older generation comes back."""
        return tolerantly(lambda: write_unless_newer(*_tombstone(pk, generation, resource)), False)

    def forget(self, pk: UUID | str, resource: str = MAIL) -> None:
        """Remove whatever stands there."""
        tolerantly(lambda: remove(cache_key(pk, resource)), None)

    def forget_many(self, held: Mapping[UUID, Header], resource: str = MAIL) -> set[UUID]:
        """Remove copies that still have these headers, in one round trip where the cache can; return whose were."""
        removed: set[UUID] = set()
        tolerantly(lambda: _remove_many({pk: (cache_key(pk, resource), held[pk]) for pk in held}, removed), None)
        return removed

    def bury_many(self, generations: Mapping[UUID, int], resource: str = MAIL) -> set[UUID]:
        """Leave many tombstones, in one round trip where the cache can; return whose were left."""
        buried: set[UUID] = set()
        tombstones = {pk: _tombstone(pk, generation, resource) for pk, generation in generations.items()}
        tolerantly(lambda: _write_many(tombstones, buried), None)
        return buried

    def headers(self, pks: Sequence[UUID], resource: str = MAIL) -> dict[UUID, Header | None]:
        """Return the headers of many copies, without transferring their tokens where the cache can do that.

        Raises whatever the cache raises: a sweep must tell "nothing there" from "cannot look".
        """
        found = read_starts(cache_keys(pks, resource))
        return {pk: Header.parse(raw) for pk, raw in zip(pks, found, strict=True)}

    def differing(self, expected: Mapping[str, str | None], resource: str = MAIL) -> dict[str, Header | None]:
        """Return the headers of those copies that are not as `expected`, which maps mailboxes to headers as stored.

        An empty one expects that no token is there; with None, whatever is there differs. Reads and raises as
        `headers` does.
        """
        found = read_starts(cache_keys(expected, resource))
        pairs = zip(expected.items(), found, strict=True)
        return {pk: Header.parse(raw) for (pk, header), raw in pairs if not _is_as_expected(raw, header)}


def _is_as_expected(raw: Any, header: str | None) -> bool:
    if header:
        return isinstance(raw, bytes) and raw.startswith(header.encode())
    if header is None or not raw:
        return header is not None
    held = Header.parse(raw)
    return held is None or not held.expiry


def read_raw(key: str) -> Any:
    """Return what stands there, as raw as the cache gives it; None for nothing."""
    cache = _cache()
    if isinstance(cache, RedisCache):
        return _redis(write=False).get(str(cache.make_key(key)))
    return cache.get(key)


def write_unless_newer(key: str, header: Header, text: str, seconds: float) -> bool:
    """Store a value for so many seconds; False when a newer generation or a tombstone stands there."""
    cache, copy = _cache(), Copy(key, header, text, seconds)
    if isinstance(cache, RedisCache):
        return raw_redis.store(_redis(write=True), _raw_write(cache, copy))
    held = Header.parse(cache.get(key))  # best effort: between this read and the write is a gap
    if held and (held.generation, not held.expiry) > (header.generation, False):
        return False
    cache.set(key, copy.bytes(), timeout=int(seconds))
    return True


def _raw_write(cache: RedisCache, copy: Copy) -> raw_redis.Write:
    key = str(cache.make_key(copy.key))
    return raw_redis.Write(key, copy.bytes(), int(copy.seconds * 1000), copy.header.generation)


def _copy(pk: UUID | str, token: AccessToken, resource: str) -> Copy | None:
    """Return what is stored of a token; None for one that is over."""
    header = Header(token.generation, int(token.issued_at.timestamp()), int(token.expires_at.timestamp()))
    seconds = header.expiry - timezone.now().timestamp()
    if seconds < 1:
        return None
    sealed = seal(Secret(token.reveal()), place_of(pk, resource, header))
    return Copy(cache_key(pk, resource), header, sealed.text, seconds)


def _write_many(copies: Mapping[UUID, Copy], stored: set[UUID]) -> None:
    """Add to `stored` whose copies were written; raises what the cache raises, and goes no further then."""
    cache = _cache()
    if not isinstance(cache, RedisCache):
        for pk, copy in copies.items():
            if write_unless_newer(*copy):
                stored.add(pk)
        return
    writes = [_raw_write(cache, copy) for copy in copies.values()]
    done = raw_redis.store_many(_redis(write=True), writes) if writes else []
    stored.update(pk for pk, was_stored in zip(copies, done, strict=True) if was_stored)


def _tombstone(pk: UUID | str, generation: int, resource: str) -> Copy:
    return Copy(cache_key(pk, resource), Header(generation, 0, 0), "", TOMBSTONE_SECONDS)


def _remove_many(held: Mapping[UUID, tuple[str, Header]], removed: set[UUID]) -> None:
    """Add to `removed` whose values still had the header given, and are gone; raises what the cache raises."""
    cache = _cache()
    if not isinstance(cache, RedisCache):
        for pk, (key, header) in held.items():
            if Header.parse(cache.get(key)) == header:  # best effort: between this and the next line is a gap
                cache.delete(key)
                removed.add(pk)
        return
    begun = [(str(cache.make_key(key)), header.bytes()) for key, header in held.values()]
    gone = raw_redis.remove_many(_redis(write=True), begun) if begun else []
    removed.update(pk for pk, was_removed in zip(held, gone, strict=True) if was_removed)


def read_starts(keys: Sequence[str]) -> list[Any]:
    """Return the starts of many values, enough for a `Header`, in one round trip; nothing, or None, for nothing."""
    cache = _cache()
    if isinstance(cache, RedisCache):
        return list(raw_redis.starts(_redis(write=False), _made(cache, keys), _HEADER_BYTES)) if keys else []
    values = cache.get_many(keys)
    return [values.get(key) for key in keys]


def exist(keys: Sequence[str]) -> list[bool]:
    """Tell of each key whether something stands there, in one round trip where nothing does."""
    cache = _cache()
    if isinstance(cache, RedisCache):
        return raw_redis.exist(_redis(write=False), _made(cache, keys)) if keys else []
    values = cache.get_many(keys)
    return [key in values for key in keys]


def _made(cache: RedisCache, keys: Sequence[str]) -> list[str]:
    """Return what `make_key` makes of each key; asked for each of a million, that takes longer than Redis."""
    if cache.key_func is default_key_func and type(cache).make_key is BaseCache.make_key:
        return [f"{cache.key_prefix}:{cache.version}:{key}" for key in keys]
    return [str(cache.make_key(key)) for key in keys]


def remove(key: str) -> None:
    """Remove whatever stands there."""
    _cache().delete(key)


token_cache = TokenCache()
"""The one cache of access tokens; which Django cache it uses is read from the settings at each call."""


def _cache() -> Any:
    return caches[app_settings().cache]


def _redis(*, write: bool) -> Any:
    return get_redis_connection(app_settings().cache, write=write)


def cache_key(pk: UUID | str, resource: str) -> str:
    """Return the key of a mailbox's value."""
    return f"{app_settings().cache_prefix}:{resource}:{pk}"


def cache_keys(pks: Iterable[UUID | str], resource: str) -> list[str]:
    """Return the keys of many mailboxes' values."""
    start = cache_key("", resource)
    return [f"{start}{pk}" for pk in pks]


def place_of(pk: UUID | str, resource: str, header: Header) -> str:
    """Return the place that a value is sealed for, which repeats its header."""
    return f"cache:{resource}:{pk}:{header.generation}:{header.issued}:{header.expiry}"


def tolerantly(action: Callable[[], T], missing: T) -> T:
    """Report a cache that fails and go on without it; the database is the truth."""
    try:
        return action()
    except Exception as error:  # noqa: BLE001  # whatever a cache backend raises, the database answers
        logger.warning("token cache failed: %s", type(error).__name__, extra={"action": "cache_failed"})
        return missing
