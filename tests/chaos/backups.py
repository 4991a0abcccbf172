"""A backup of a rig's database, and the return to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from django.db import connections

from tests.chaos.rig import Rig


class Backup:
    """What the database holds now. While it is restored, no process may use the database."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.live = connections[rig.alias].settings_dict
        self.is_sqlite = connections[rig.alias].vendor == "sqlite"
        rig.let_go()
        if self.is_sqlite:
            self._copy(self.live["NAME"], self.copy)
        else:
            self._clone(self.live["NAME"], self.copy)

    @property
    def copy(self) -> str:
        return f"{self.live['NAME']}_backup"

    def restore(self) -> None:
        self.rig.let_go()
        if self.is_sqlite:
            self._copy(self.copy, self.live["NAME"])
        else:
            self._clone(self.copy, self.live["NAME"])

    def _copy(self, source: str, target: str) -> None:
        with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
            old.backup(new)

    def _clone(self, source: str, target: str) -> None:
        with self._server() as server:
            server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [source])
            server.execute(f"DROP DATABASE IF EXISTS {target} WITH (FORCE)")
            server.execute(f"CREATE DATABASE {target} TEMPLATE {source}")

    @contextmanager
    def _server(self) -> Iterator[Any]:
        import psycopg

        assert self.rig.postgres is not None
        with psycopg.connect(self.rig.postgres.url, autocommit=True) as connection:
            yield connection
