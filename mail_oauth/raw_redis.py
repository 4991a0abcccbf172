"""Raw commands on the Redis behind a django-redis cache: values are bytes, whatever serializer the site uses."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import redis
from redis.connection import BlockingConnectionPool, ConnectionPool
from redis.exceptions import NoScriptError, RedisClusterException, ResponseError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Script:
    """A script in Lua, and the digest by which a Redis that knows it runs it."""

    text: str
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "digest", digest)

    def command(self, keys: Sequence[str], *arguments: Any) -> tuple[Any, ...]:
        """Return the command that runs it by its digest."""
        return ("EVALSHA", self.digest, len(keys), *keys, *arguments)


_STORE_UNLESS_NEWER = _Script("""
local held = redis.pcall('GETRANGE', KEYS[1], '0', '63')
if type(held) ~= 'string' then held = '' end
local generation, issued, expiry = string.match(held, '^1|(%d+)|(%d+)|(%d+)|')
if generation then
  local order = tonumber(generation) - tonumber(ARGV[3])
  if order > 0 or (order == 0 and expiry == '0') then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
""")

_REMOVE_IF_BEGUN_SO = _Script("""
local start = redis.pcall('GETRANGE', KEYS[1], '0', #ARGV[1] - 1)
if start == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
""")

_REPLACE_IF_SAME = _Script("""
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local left = redis.call('PTTL', KEYS[1])
if left > 0 then redis.call('SET', KEYS[1], ARGV[2], 'PX', left) else redis.call('SET', KEYS[1], ARGV[2]) end
return 1
""")

_STARTS = _Script("""
local starts, last = {}, ARGV[1]  -- as text: of a number Redis would make text for each key, as of a float
for number, key in ipairs(KEYS) do
  local start = redis.pcall('GETRANGE', key, '0', last)
  starts[number] = type(start) == 'string' and start or ''
end
return table.concat(starts, '\\n')
""")

_REFUSED = (ResponseError, RedisClusterException)
"""What a command on keys of several slots of a cluster raises: the server's word, or the client's own."""

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
    return bool(_evaluate(client, _STORE_UNLESS_NEWER, _stored(write)))


def store_many(client: Any, writes: Sequence[Write]) -> list[bool]:
    """Store many values in one round trip and tell of each whether it was; what Redis refuses was not."""
    # When the script was not known to one of a cluster's nodes, those that were stored are stored again.
    return _evaluate_many(client, _STORE_UNLESS_NEWER, [_stored(write) for write in writes])


def replace(client: Any, key: str, held: bytes, value: bytes) -> bool:
    """Put another value in the place of one that is still `held`, for the rest of its time. Raises what Redis raises."""
    return bool(_evaluate(client, _REPLACE_IF_SAME, _REPLACE_IF_SAME.command([key], held, value)))


def remove_many(client: Any, begun: Sequence[tuple[str, bytes]]) -> list[bool]:
    """Remove each key whose value begins as is said here, in one round trip; tell of each whether it was removed."""
    commands = [_REMOVE_IF_BEGUN_SO.command([key], start) for key, start in begun]
    return _evaluate_many(client, _REMOVE_IF_BEGUN_SO, commands)


def starts(client: Any, keys: Sequence[str], size: int) -> list[bytes]:
    """Return the first `size` bytes of many strings, empty for anything else. Raises what Redis raises.

    One script in one round trip; where that is refused, as by a cluster whose slots part the keys, a pipeline.
    """
    with contextlib.suppress(*_REFUSED):
        joined: bytes = _evaluate(client, _STARTS, _STARTS.command(keys, size - 1))
        found = joined.split(b"\n")
        if len(found) == len(keys):  # no foreign value with a line's end lies among them
            return found
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.getrange(key, 0, size - 1)
    return [_start(answer) for answer in pipeline.execute(raise_on_error=False)]


def values(client: Any, keys: Sequence[str]) -> list[bytes]:
    """Return many small strings, empty for anything else. Raises what Redis raises."""
    with contextlib.suppress(*_REFUSED):
        return [value or b"" for value in client.execute_command("MGET", *keys)]
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.get(key)
    return [_start(answer) for answer in pipeline.execute(raise_on_error=False)]


def exist(client: Any, keys: Sequence[str]) -> list[bool]:
    """Tell of each key whether something stands there. Raises what Redis raises.

    They are counted first: nearly always there are none of what is rare, and that is known in one command.
    """
    with contextlib.suppress(*_REFUSED):
        if not client.execute_command("EXISTS", *keys):
            return [False] * len(keys)
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.exists(key)
    return [bool(answer) for answer in pipeline.execute()]


def _stored(write: Write) -> tuple[Any, ...]:
    return _STORE_UNLESS_NEWER.command([write.key], write.value, write.milliseconds, write.generation)


def _start(answer: Any) -> bytes:
    if answer is None or (isinstance(answer, ResponseError) and "WRONGTYPE" in str(answer)):
        return b""
    if isinstance(answer, Exception):
        raise answer
    return bytes(answer)


def _evaluate(client: Any, script: _Script, command: tuple[Any, ...]) -> Any:
    try:
        return client.execute_command(*command)
    except NoScriptError:  # a Redis that was restarted, or another one than before
        client.script_load(script.text)
        return client.execute_command(*command)


def _evaluate_many(client: Any, script: _Script, commands: Sequence[tuple[Any, ...]]) -> list[bool]:
    answers = _execute(client, commands)
    if any(isinstance(answer, NoScriptError) for answer in answers):
        client.script_load(script.text)
        answers = _execute(client, commands)
    faults = [answer for answer in answers if isinstance(answer, Exception)]
    if faults:
        about = {"action": "cache_failed", "cause": type(faults[0]).__name__}
        logger.warning("token cache refused %d values: %s", len(faults), type(faults[0]).__name__, extra=about)
    return [answer == 1 for answer in answers]


def set_all(client: Any, values: Mapping[str, bytes], seconds: int) -> None:
    """Store many values in one round trip, whatever stands there. Raises what Redis raises."""
    pipeline = client.pipeline(transaction=False)
    for key, value in values.items():
        pipeline.set(key, value, ex=seconds)
    pipeline.execute()


def _execute(client: Any, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)  # not `evalsha`, which a cluster's pipeline refuses by its name
    answers: list[Any] = pipeline.execute(raise_on_error=False)
    return answers
