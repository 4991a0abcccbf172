"""Raw commands on the Redis behind a django-redis cache: values are bytes, whatever serializer the site uses."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import redis
from redis.connection import BlockingConnectionPool, ConnectionPool
from redis.exceptions import NoScriptError

logger = logging.getLogger(__name__)

_STORE_UNLESS_NEWER = """
local held = redis.pcall('GETRANGE', KEYS[1], 0, 63)
if type(held) ~= 'string' then held = '' end
local generation, issued, expiry = string.match(held, '^1|(%d+)|(%d+)|(%d+)|')
if generation then
  local order = tonumber(generation) - tonumber(ARGV[3])
  if order > 0 or (order == 0 and expiry == '0') then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_DIGEST = hashlib.sha1(_STORE_UNLESS_NEWER.encode(), usedforsecurity=False).hexdigest()

_STRAIGHT = redis.VERSION >= (5, 3)  # before that, a connection was asked for with the name of its command
_PLAIN_POOLS = (ConnectionPool, BlockingConnectionPool)


def get(client: Any, key: str) -> Any:
    """Return what stands there; None for nothing. Raises what Redis raises.

    On a connection from the client's pool, with its checks, timeouts and retries, but past the client's own layers,
    which are a seventh of a token's read. Not with Sentinel, a cluster, client-side caching, or any client or pool
    that a site has made itself.
    """
    if not (_STRAIGHT and type(client) is redis.Redis and type(client.connection_pool) in _PLAIN_POOLS):
        return client.get(key)
    pool: Any = client.connection_pool
    if client.connection is not None or pool.cache is not None:
        return client.get(key)
    connection = pool.get_connection()
    try:
        return connection.retry.call_with_retry(
            lambda: _ask(connection, key), lambda _error: connection.disconnect()
        )
    finally:
        pool.release(connection)


def _ask(connection: Any, key: str) -> Any:
    connection.send_command("GET", key)
    return connection.read_response()


class Write(NamedTuple):
    """A value of `mail_oauth.cache` on its way to Redis, with its lifetime."""

    key: str
    value: bytes
    milliseconds: int
    generation: int


def store(client: Any, write: Write) -> bool:
    """Store one value; False when a newer generation or a tombstone stands there. Raises what Redis raises."""
    command = _command(write)
    try:
        return bool(client.execute_command(*command))
    except NoScriptError:  # a Redis that was restarted, or another one than before
        client.script_load(_STORE_UNLESS_NEWER)
        return bool(client.execute_command(*command))


def store_many(client: Any, writes: Sequence[Write]) -> list[bool]:
    """Store many values in one round trip and tell of each whether it was; what Redis refuses was not."""
    answers = _execute(client, writes)
    if any(isinstance(answer, NoScriptError) for answer in answers):
        client.script_load(_STORE_UNLESS_NEWER)
        answers = _execute(client, writes)  # those that were stored are stored again, which changes nothing
    faults = [answer for answer in answers if isinstance(answer, Exception)]
    if faults:
        about = {"action": "cache_failed"}
        logger.warning("token cache refused %d values: %s", len(faults), type(faults[0]).__name__, extra=about)
    return [answer == 1 for answer in answers]


def set_all(client: Any, values: Mapping[str, bytes], seconds: int) -> None:
    """Store many values in one round trip, whatever stands there. Raises what Redis raises."""
    pipeline = client.pipeline(transaction=False)
    for key, value in values.items():
        pipeline.set(key, value, ex=seconds)
    pipeline.execute()


def _execute(client: Any, writes: Sequence[Write]) -> list[Any]:
    pipeline = client.pipeline(transaction=False)
    for write in writes:
        pipeline.execute_command(*_command(write))  # not `evalsha`, which a cluster's pipeline refuses by its name
    answers: list[Any] = pipeline.execute(raise_on_error=False)
    return answers


def _command(write: Write) -> tuple[Any, ...]:
    return ("EVALSHA", _DIGEST, 1, write.key, write.value, write.milliseconds, write.generation)
