"""The disposable copy of access tokens in a Django cache.

A value is ``1|<generation>|<issued>|<expiry>|<sealed token, packed>``, times in whole seconds since 1970. The header
stands in clear so that generations can be compared without decrypting; it is repeated in the place that the
token is sealed for, so that changing it makes the value unreadable. A tombstone has no token. On django-redis
values are raw bytes through raw commands, so nothing that lies in the cache is ever unpickled.
"""

from __future__ import annotations

import contextlib
import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from django.conf import settings as django_settings
from django.core.cache import caches
from django.utils import timezone
from django_redis.cache import RedisCache

from mail_oauth import bulk, raw_redis
from mail_oauth.conf import app_settings
from mail_oauth.encryption import seal, unseal_stored
from mail_oauth.exceptions import KeyMissing, SealError
from mail_oauth.near import near_copies
from mail_oauth.signals import value_refused
from mail_oauth.tokens import AccessToken

T = TypeVar("T")
PK = TypeVar("PK", bound=UUID | str)
logger = logging.getLogger(__name__)

MAIL = "mail"
"""The resource that a mailbox's own access token opens."""

TOMBSTONE_SECONDS = 24 * 3600
"""How long a disconnected mailbox refuses late writes: longer than any access token lives."""

LAST_GENERATION = 2**53 - 1
"""The generation of a row that is gone, the greatest that Lua counts exactly: nothing comes after it."""

_HEADER_BYTES = 64
_HEADER = re.compile(rb"1\|([0-9]+)\|([0-9]+)\|([0-9]+)\|")


class Header(NamedTuple):
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
        found = _HEADER.match(raw, 0, _HEADER_BYTES) if isinstance(raw, bytes) else None
        return None if found is None else cls._make(map(int, found.groups()))


class Copy(NamedTuple):
    """A value on its way into the cache: what comes after its header, and for how many seconds it stays."""

    key: str
    header: Header
    body: bytes
    seconds: float

    @property
    def value(self) -> bytes:
        """The value as it is stored."""
        return self.header.bytes() + self.body


class TokenCache:
    """Access tokens by mailbox and resource. A cache that fails costs time: every fault reads as a miss."""

    def get(self, pk: UUID | str, resource: str = MAIL) -> AccessToken | None:
        """Return the copy, or None when there is none that can be trusted."""
        name = str(pk)
        raw = tolerantly(lambda: read_raw(cache_key(name, resource)), None)
        header = Header.parse(raw)
        if header is None or not header.expiry:
            return None
        try:
            secret = unseal_stored(raw[len(header.bytes()) :], place_of(name, resource, header))
        except (
            KeyMissing
        ):  # a miss: another host that has the key may still use it, and ours will stand in its place
            return None
        except SealError as error:
            about = {"action": "cache_refused", "mailbox": name, "cause": str(error)}
            logger.warning("cached token refused", extra=about)
            self.forget(pk, resource)
            value_refused.send_robust(type(self), mailbox=pk, where="cache", cause=error.code)
            return None
        return AccessToken.of_epoch(secret.reveal(), header.issued, header.expiry, header.generation)

    def put(self, pk: UUID | str, token: AccessToken, resource: str = MAIL) -> bool:
        """Store a copy until the token expires, unless a newer generation or a tombstone stands there."""
        copy = _copy(pk, token, resource)
        with _outdating({pk: token.generation}, resource):
            return copy is not None and tolerantly(lambda: write_unless_newer(*copy), False)

    def put_many(self, items: Mapping[UUID, AccessToken], resource: str = MAIL) -> set[UUID]:
        """Store many copies, in one round trip where the cache can do that; return whose were stored."""
        copies = {pk: copy for pk, token in items.items() if (copy := _copy(pk, token, resource)) is not None}
        stored: set[UUID] = set()
        with _outdating({pk: token.generation for pk, token in items.items()}, resource):
            tolerantly(lambda: _write_many(copies, stored), None)
        return stored

    def bury(self, pk: UUID | str, generation: int, resource: str = MAIL) -> bool:
        """Leave a tombstone, so that no late result of an older generation comes back."""
        return bool(self.bury_many({pk: generation}, resource))

    def forget(self, pk: UUID | str, resource: str = MAIL) -> None:
        """Remove whatever stands there."""
        with _outdating({pk: math.inf}, resource):
            tolerantly(lambda: remove(cache_key(pk, resource)), None)

    def bury_many(self, generations: Mapping[PK, int], resource: str = MAIL) -> set[PK]:
        """Leave many tombstones, in one round trip where the cache can do that; return whose were left."""
        tombstones = {
            pk: Copy(cache_key(pk, resource), Header(generation, 0, 0), b"", TOMBSTONE_SECONDS)
            for pk, generation in generations.items()
        }
        buried: set[PK] = set()
        with _outdating(dict.fromkeys(generations, math.inf), resource):
            tolerantly(lambda: _write_many(tombstones, buried), None)
        return buried

    def forget_many(self, held: Mapping[PK, Header], resource: str = MAIL) -> set[PK]:
        """Remove copies that still have these headers, in one round trip where the cache can; return whose were."""
        starts = {cache_key(pk, resource): header.bytes() for pk, header in held.items()}
        with _outdating(dict.fromkeys(held, math.inf), resource):
            removed = tolerantly(lambda: bulk.remove(app_settings().cache, starts), [False] * len(held))
        return {pk for pk, was_removed in zip(held, removed, strict=True) if was_removed}

    def headers(self, pks: Sequence[PK], resource: str = MAIL) -> dict[PK, Header | None]:
        """Return the headers of many copies, without transferring their tokens where the cache can do that.

        Raises whatever the cache raises: a sweep must tell "nothing there" from "cannot look".
        """
        found = self._starts(pks, _HEADER_BYTES, resource)
        return {pk: Header.parse(start) for pk, start in zip(pks, found, strict=True)}

    def differing(self, expected: Mapping[PK, str | None], resource: str = MAIL) -> list[PK]:
        """Return whose copies are not as `expected`, which maps mailboxes to headers as they are stored.

        An empty one expects that nothing is there; with None, whatever is there differs. Raises as `headers` does.
        Only so much is transferred as there is to compare, and no object is made for a copy that is as expected.
        """
        longest = max(map(len, filter(None, expected.values())), default=1)
        pairs = zip(expected.items(), self._starts(list(expected), longest, resource), strict=True)
        others = [
            (pk, header, start)
            for (pk, header), start in pairs
            if not header or not start.startswith(header.encode())
        ]
        return [pk for pk, header, start in others if header != "" or start]

    def _starts(self, pks: Sequence[UUID | str], size: int, resource: str) -> list[bytes]:
        return bulk.starts(app_settings().cache, cache_key("", resource), pks, size)


@contextlib.contextmanager
def _outdating(generations: Mapping[UUID | str, float], resource: str) -> Iterator[None]:
    """Drop this process's copies of older generations at once, and again what was taken from the cache until then."""
    changed = generations.items() if resource == MAIL else ()
    for pk, generation in changed:
        near_copies.outdate(pk, generation)
    try:
        yield
    finally:
        for pk, generation in changed:
            near_copies.outdate(pk, generation)


def read_raw(key: str) -> Any:
    """Return what stands there, as raw as the cache gives it; None for nothing."""
    cache = _cache()
    if isinstance(cache, RedisCache):
        return raw_redis.get(cache.client.get_client(write=False), str(cache.make_key(key)))
    return cache.get(key)


def write_unless_newer(key: str, header: Header, body: bytes, seconds: float) -> bool:
    """Store a value for so many seconds; False when a newer generation or a tombstone stands there."""
    cache, copy = _cache(), Copy(key, header, body, seconds)
    if isinstance(cache, RedisCache):
        return raw_redis.store(cache.client.get_client(write=True), _raw_write(cache, copy))
    held = Header.parse(cache.get(key))  # best effort: between this read and the write is a gap
    if held and (held.generation, not held.expiry) > (header.generation, False):
        return False
    cache.set(key, copy.value, timeout=int(seconds))
    return True


def replace(key: str, held: bytes, value: bytes, seconds: int) -> bool:
    """Put another value in the place of one that is still `held`, for the rest of its time: so many seconds, at most."""
    cache = _cache()
    if isinstance(cache, RedisCache):
        return raw_redis.replace(cache.client.get_client(write=True), str(cache.make_key(key)), held, value)
    if seconds < 1 or cache.get(key) != held:  # best effort: between this line and the next is a gap
        return False
    cache.set(key, value, timeout=seconds)
    return True


def _raw_write(cache: RedisCache, copy: Copy) -> raw_redis.Write:
    key = str(cache.make_key(copy.key))
    return raw_redis.Write(key, copy.value, int(copy.seconds * 1000), copy.header.generation)


def _copy(pk: UUID | str, token: AccessToken, resource: str) -> Copy | None:
    """Return what is stored of a token; None for one that is over."""
    header = Header(token.generation, *token.epochs)
    seconds = header.expiry - timezone.now().timestamp()
    if seconds < 1:
        return None
    name = str(pk)
    sealed = seal(token, place_of(name, resource, header))
    return Copy(cache_key(name, resource), header, sealed.packed, seconds)


def _write_many(copies: Mapping[PK, Copy], stored: set[PK]) -> None:
    """Add to `stored` whose copies were written; raises what the cache raises, and goes no further then."""
    cache = _cache()
    if not isinstance(cache, RedisCache):
        for pk, copy in copies.items():
            if write_unless_newer(*copy):
                stored.add(pk)
        return
    writes = [_raw_write(cache, copy) for copy in copies.values()]
    done = raw_redis.store_many(cache.client.get_client(write=True), writes) if writes else []
    stored.update(pk for pk, was_stored in zip(copies, done, strict=True) if was_stored)


def write_all(values: Mapping[str, bytes], seconds: int) -> None:
    """Store many small values in one round trip, whatever stands there."""
    cache = _cache()
    if isinstance(cache, RedisCache):
        made = {str(cache.make_key(key)): value for key, value in values.items()}
        raw_redis.set_all(cache.client.get_client(write=True), made, seconds)
    else:
        cache.set_many(values, timeout=seconds)


def remove(key: str) -> None:
    """Remove whatever stands there."""
    _cache().delete(key)


token_cache = TokenCache()
"""The one cache of access tokens; which Django cache it uses is read from the settings at each call."""


def _cache() -> Any:
    return caches[app_settings().cache]


def keyed_by_mailbox_alone() -> bool:
    """Tell whether nothing but the mailbox decides on a key: a KEY_FUNCTION may tell tenants apart."""
    return not django_settings.CACHES.get(app_settings().cache, {}).get("KEY_FUNCTION")


def may_be_near() -> bool:
    """Tell whether a process may keep what it reads."""
    return app_settings().near_cache_seconds > 0 and keyed_by_mailbox_alone()


def cache_key(pk: UUID | str, resource: str) -> str:
    """Return the key of a mailbox's value."""
    return f"{app_settings().cache_prefix}:{resource}:{pk}"


def place_of(pk: UUID | str, resource: str, header: Header) -> str:
    """Return the place that a value is sealed for, which repeats its header."""
    return f"cache:{resource}:{pk}:{header.generation}:{header.issued}:{header.expiry}"


def tolerantly(action: Callable[[], T], missing: T) -> T:
    """Report a cache that fails and go on without it; the database is the truth."""
    try:
        return action()
    except Exception as error:  # noqa: BLE001  # whatever a cache backend raises, the database answers
        logger.warning(
            "token cache failed: %s",
            type(error).__name__,
            extra={"action": "cache_failed", "cause": type(error).__name__},
        )
        return missing
