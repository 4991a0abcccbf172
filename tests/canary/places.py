"""What only the run's own process comes by: errors that tests expect, and files before they are removed."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from django.db import connections
from django.test import TransactionTestCase

from tests.browser.demo import Demo
from tests.canary.errors import shown
from tests.canary.spool import Spool
from tests.canary.taps import around
from tests.services import MariaDB, Postgres, Redis


def tap_what_pytest_sees(spool: Spool) -> None:
    """Each error that a test expects, as a site's tracker would report it."""

    def left(true: Any) -> Any:
        def __exit__(self: Any, kind: Any, error: Any, trace: Any) -> Any:
            if error is not None:
                spool.write("errors", shown(error))
            return true(self, kind, error, trace)

        return __exit__

    around(pytest.RaisesExc, "__exit__", left)


def tap_what_tests_remove(spool: Spool) -> None:
    """Tables before they are emptied, servers' data before they are flushed, stopped or removed."""

    def torn_down(true: Any) -> Any:
        def _fixture_teardown(self: Any) -> None:
            _keep_tables(spool)
            true(self)

        return _fixture_teardown

    def emptied(true: Any) -> Any:
        def method(self: Any, *args: Any) -> Any:
            if self.running:
                _keep_redis(spool, self)
            return true(self, *args)

        return method

    def removed(true: Any) -> Any:
        def remove(self: Any) -> None:
            self.stop()
            spool.link(type(self).__name__.lower(), self.directory)
            true(self)

        return remove

    around(TransactionTestCase, "_fixture_teardown", torn_down)
    for name in ("flush", "_end"):
        around(Redis, name, emptied)
    for server in (Postgres, MariaDB, Redis):
        around(server, "remove", removed)
    around(Demo, "__exit__", lambda true: true) if hasattr(Demo, "__exit__") else None


def _keep_tables(spool: Spool) -> None:
    for connection in connections.all(initialized_only=True):
        with contextlib.suppress(Exception), connection.cursor() as cursor:
            for table in connection.introspection.table_names(cursor):
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
                for row in cursor.fetchall():
                    spool.write("tables", " ".join(map(_cell, row)))


def _cell(value: Any) -> str:
    return bytes(value).decode("latin-1") if isinstance(value, (bytes, memoryview)) else str(value)


def _keep_redis(spool: Spool, server: Redis) -> None:
    with contextlib.suppress(Exception), server.client() as client:
        for key in client.scan_iter(count=1000):
            kind = client.type(key)
            spool.write("redis", key)
            reads: dict[bytes, Any] = {
                b"string": lambda key=key: [client.get(key)],
                b"list": lambda key=key: client.lrange(key, 0, -1),
                b"hash": lambda key=key: [part for pair in client.hgetall(key).items() for part in pair],
                b"set": lambda key=key: client.smembers(key),
                b"zset": lambda key=key: client.zrange(key, 0, -1),
            }
            for value in reads[kind]():
                spool.write("redis", value or b"")
