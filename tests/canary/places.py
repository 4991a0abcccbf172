"""What only the run's own process comes by: errors that tests expect, and what they remove."""

from __future__ import annotations

import contextlib
import tempfile
from itertools import filterfalse
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.test import TransactionTestCase

from tests.canary import others
from tests.canary.errors import shown
from tests.canary.spool import Spool
from tests.canary.taps import around, spelled_out
from tests.services import MariaDB, Postgres, Redis


def tap(spool: Spool) -> None:
    """Look at tables before they are emptied, and at servers and directories before they are flushed or removed."""

    def before(look: Any) -> Any:
        def made(true: Any) -> Any:
            def method(self: Any, *args: Any, **kwargs: Any) -> Any:
                look(self)
                return true(self, *args, **kwargs)

            return method

        return made

    def expected(true: Any) -> Any:
        def left(self: Any, kind: Any, error: Any, trace: Any) -> Any:
            if error is not None:
                spool.write("errors", shown(error))
            return true(self, kind, error, trace)

        return left

    around(pytest.RaisesExc, "__exit__", expected)
    around(TransactionTestCase, "_fixture_teardown", before(lambda _: _keep_tables(spool)))
    around(tempfile.TemporaryDirectory, "cleanup", before(lambda each: spool.link("temporary", Path(each.name))))
    for name in ("flush", "_end"):
        around(Redis, name, before(lambda server: _keep_redis(spool, server)))
    for server in (Postgres, MariaDB, Redis):
        around(server, "remove", before(lambda server: _keep_data(spool, server)))


def _keep_tables(spool: Spool) -> None:
    for connection in connections.all(initialized_only=True):
        with contextlib.suppress(Exception), connection.cursor() as cursor:  # whose server a test has ended
            for table in filterfalse(others.is_theirs, connection.introspection.table_names(cursor)):
                cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
                for row in cursor.fetchall():
                    spool.write("tables", spelled_out(row))


def _keep_data(spool: Spool, server: Any) -> None:
    server.stop()
    spool.link(type(server).__name__.lower(), server.directory)


def _keep_redis(spool: Spool, server: Redis) -> None:
    if not server.running:
        return
    with contextlib.suppress(Exception), server.client() as client:  # one that a test has stalled
        for key in client.scan_iter(count=1000):
            if key.startswith(others.KEYS):
                continue
            spool.write("redis", key)
            kind = client.type(key)
            if kind == b"hash":
                found: Any = [part for pair in client.hgetall(key).items() for part in pair]
            elif kind == b"list":
                found = client.lrange(key, 0, -1)
            elif kind == b"set":
                found = client.smembers(key)
            elif kind == b"zset":
                found = client.zrange(key, 0, -1)
            else:
                found = [client.get(key)]
            for value in found:
                spool.write("redis", value or b"")
