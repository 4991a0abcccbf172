"""JSON in Redis, under `email:credentials:{userId}:{accountId}`: what an application had that kept tokens there alone.

Members: `accessToken`, `refreshToken`, `tokenExpiry` (ISO 8601, or milliseconds or seconds since 1970), `useOAuth`; also
as `access_token` and so on. The provider is the member `provider`, where there is one; the address is a member that usually
has one (`values.ADDRESS_NAMES`), else the account's id if it is an address. Of a cluster the URL names any node, and all
primaries are read: Redis says itself whether it is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property, partial
from typing import Any, Final

import redis
from redis.exceptions import RedisClusterException

from mail_oauth.frames import keeps_locals_in
from mail_oauth.moving.entries import PAGE, Entry, Found, SourceError, Unreadable, shown
from mail_oauth.moving.mistakes import apart
from mail_oauth.moving.sources.paging import paged
from mail_oauth.moving.values import (
    BadValue,
    access_token_in,
    address_in,
    first_of,
    flag_in,
    moment_in,
    object_in,
    refresh_token_in,
    scopes_in,
    text_in,
)
from mail_oauth.tokens import Secret
from mail_oauth.transport.bodies import BadBody

PREFIX = "email:credentials:"

LONGEST = 512 * 1024
"""No value is read further, in bytes: two tokens of the longest that are stored, and room."""

SECONDS = 10.0
"""How long Redis may take for one answer."""

_HOW: Final[dict[str, Any]] = {
    "socket_timeout": SECONDS,
    "socket_connect_timeout": SECONDS,
    "decode_responses": False,
}
_FAULTS = (redis.RedisError, RedisClusterException)
"""What redis-py raises; the second, where it cannot make out a cluster's nodes, is none of its other errors."""

_AT_ONCE = 100
"""So many values are in memory at once that nobody has looked at."""

_GLOB = re.compile(rb"[\\*?\[\]^-]")


class RedisLayout:
    """All keys with a prefix, by `SCAN`: Redis serves others meanwhile. A key that ends on the way is no entry."""

    name = "redis"
    names_users_by_key = False
    tokens_are_for_mail = True

    def __init__(self, url: Secret, prefix: str = PREFIX) -> None:
        """Read what lies under `prefix` in the Redis at `url`, which may hold a password. Raises `SourceError`."""
        self._prefix, self._url = prefix.encode(), url
        try:
            self._server = redis.Redis.from_url(url.reveal(), **_HOW)
        except ValueError:
            raise SourceError("The URL of Redis begins with redis://, rediss:// or unix://.") from None

    @cached_property
    def _client(self) -> redis.Redis | redis.RedisCluster:
        """The server, or the whole of its cluster: one node alone would show its own part, and say nothing of the others."""
        if not self._server.info("cluster").get("cluster_enabled"):
            return self._server
        return redis.RedisCluster.from_url(self._url.reveal(), **_HOW)

    def about(self) -> int:
        """Count all keys of the database."""
        try:
            return int(self._client.dbsize())
        except _FAULTS as error:
            raise _unreachable(error) from None

    def pages(self) -> Iterator[list[Found]]:
        """Read entries in the order in which Redis gives them."""
        return paged(self._each(), PAGE)

    def _each(self) -> Iterator[Found]:
        try:
            for keys in self._keys():
                yield from self._read(keys)
        except _FAULTS as error:
            raise _unreachable(error) from None

    def _keys(self) -> Iterator[list[bytes]]:
        pattern = _GLOB.sub(rb"\\\g<0>", self._prefix) + b"*"
        keys: list[bytes] = []
        for key in self._client.scan_iter(match=pattern, count=1000):
            keys.append(key)
            if len(keys) == _AT_ONCE:
                yield keys
                keys = []
        if keys:
            yield keys

    def _read(self, keys: list[bytes]) -> list[Found]:
        pipeline = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.getrange(key, 0, LONGEST)
        values = pipeline.execute(raise_on_error=False)
        found: list[Found] = []
        for key, value in zip(keys, values, strict=True):
            where = shown(key.decode(errors="backslashreplace"))
            found += apart(where, partial(self._found, where, key, value))
        return found

    def _found(self, where: str, key: bytes, value: object) -> list[Found]:
        if isinstance(value, redis.ResponseError) and str(value).startswith("WRONGTYPE"):
            return [Unreadable(where=where, reason="wrong_type")]
        if isinstance(value, redis.RedisError):
            raise value
        if not isinstance(value, bytes) or not value:
            return []
        if len(value) > LONGEST:
            return [Unreadable(where=where, reason="too_large")]
        try:
            return [entry_of(where, key[len(self._prefix) :], value)]
        except (BadBody, BadValue) as bad:
            return [Unreadable(where=where, reason=bad.reason)]


@keeps_locals_in
def entry_of(where: str, name: bytes, value: bytes) -> Entry:
    """Read one value. `name` is what follows the prefix in its key. Raises `BadBody` and `BadValue`."""
    try:
        user, colon, account = name.decode().partition(":")
    except UnicodeDecodeError:
        raise BadValue("key") from None
    if not (user and colon and account):
        raise BadValue("key")
    fields = object_in(value)
    use_oauth = flag_in(first_of(fields, ("useOAuth", "useOauth", "use_oauth")), "use_oauth")
    return Entry(
        where=where,
        user=text_in(user, "key"),
        provider=text_in(fields.get("provider"), "provider", longest=64),
        email=address_in(fields, account),
        refresh_token=refresh_token_in(fields, "refreshToken", "refresh_token"),
        access_token=access_token_in(fields, "accessToken", "access_token"),
        expires_at=moment_in(
            first_of(fields, ("tokenExpiry", "token_expiry", "expiresAt", "expires_at")), "expiry"
        ),
        scopes=scopes_in(first_of(fields, ("scope", "scopes"))),
        use_oauth=use_oauth is not False,
    )


def _unreachable(error: Exception) -> SourceError:
    return SourceError(
        f"Redis could not be read ({type(error).__name__}): begin again, what is here is passed over."
    )
