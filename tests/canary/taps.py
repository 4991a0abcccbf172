"""Where a process's output is caught, in the run's own process and in its children.

Nothing of what is watched changes by it: records reach the handlers that they would reach without, at the levels that
tests set, and responses, statements and errors are only read.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.cache.backends.locmem import LocMemCache
from django.db.backends.signals import connection_created
from redis.connection import AbstractConnection

from tests.canary import others, pages, secrets
from tests.canary.errors import shown, shown_value, without_queries
from tests.canary.spool import WATCH, Spool

spool: Spool | None = None
"""This process's, once it is installed."""


def install(*, buffered: bool = False) -> None:
    """Catch all that this process writes from now on, for the run that the environment names."""
    global spool
    if spool is not None or not os.environ.get(WATCH):
        return
    spool = Spool(Path(os.environ[WATCH]), buffered=buffered)
    _tap_logs(spool)
    _tap_databases(spool)
    _tap_caches(spool)
    pages.tap(spool, around)
    secrets.tap(spool, around)


def around(owner: Any, name: str, made: Callable[[Any], Any]) -> None:
    """Replace a method by what `made` makes of it."""
    method = getattr(owner, name)
    setattr(owner, name, functools.wraps(method)(made(method)))


# --- logs ---


def _tap_logs(spool: Spool) -> None:
    """Every record at every level, whatever the configuration says, after the filters of its logger."""
    enabled = logging.Logger.isEnabledFor

    def call_handlers(true: Any) -> Any:
        def callHandlers(self: logging.Logger, record: logging.LogRecord) -> None:  # noqa: N802
            spool.write("logs", f"{_formatted(record)}\n{_extras(record)}")
            if (
                record.levelno >= logging.WARNING and record.exc_info and record.exc_info[1]
            ):  # as trackers take them
                spool.write("logs", shown(record.exc_info[1]))
            if enabled(self, record.levelno):
                true(self, record)

        return callHandlers

    around(logging.Logger, "callHandlers", call_handlers)
    around(logging.Logger, "isEnabledFor", lambda _: lambda self, level: True)


_formatter = logging.Formatter("%(name)s %(levelname)s %(message)s")
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


def _formatted(record: logging.LogRecord) -> str:
    """The record as a handler would print it; it is left as it was."""
    before = dict(vars(record))
    try:
        with without_queries():
            return _formatter.format(record)
    except Exception as error:  # noqa: BLE001  # logging itself will print this one to stderr
        return repr(error)
    finally:
        vars(record).clear()
        vars(record).update(before)


def _extras(record: logging.LogRecord) -> str:
    """What formatters of structured logs print besides: the extras, and the arguments one by one."""
    found = {name: value for name, value in vars(record).items() if name not in _OWN}
    return shown_value([found, record.args]) if found or record.args else ""


# --- databases and caches ---


def _tap_databases(spool: Spool) -> None:
    """Each statement's values, whatever becomes of its transaction; and SQLite's files."""

    def keep(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not others.is_theirs(sql):
            spool.write("statements", spelled_out([sql, params]) if params else sql)
        return execute(sql, params, many, context)

    def connected(connection: Any, **_: Any) -> None:
        if keep not in connection.execute_wrappers:
            connection.execute_wrappers.insert(0, keep)
        name = str(connection.settings_dict["NAME"])
        if connection.vendor == "sqlite" and name.startswith("/"):
            spool.link("sqlite", Path(name))

    connection_created.connect(connected, weak=False, dispatch_uid="tests.canary")


def spelled_out(value: Any) -> str:
    """Values as a driver sends or gives them: their `repr` would hide bytes."""
    if isinstance(value, (list, tuple)):
        return " ".join(map(spelled_out, value))
    value = getattr(value, "obj", value)  # psycopg wraps what it sends as bytes
    return bytes(value).decode("latin-1") if isinstance(value, (bytes, bytearray, memoryview)) else str(value)


def _tap_caches(spool: Spool) -> None:
    """What goes to Redis, be it a cache or a broker, and into memory; directories are looked through at the end."""

    def sent(true: Any) -> Any:
        def send_packed_command(self: Any, command: Any, *more: Any, **options: Any) -> Any:
            parts = [command] if isinstance(command, (str, bytes)) else list(command)
            for part in parts:
                if others.KEYS not in (part if isinstance(part, bytes) else part.encode(errors="replace")):
                    spool.write("redis", part)
            return true(self, parts, *more, **options)

        return send_packed_command

    def stored(true: Any) -> Any:
        def _set(self: Any, key: str, value: bytes, *more: Any, **options: Any) -> Any:
            spool.write("memory caches", value)
            return true(self, key, value, *more, **options)

        return _set

    around(AbstractConnection, "send_packed_command", sent)
    around(LocMemCache, "_set", stored)
