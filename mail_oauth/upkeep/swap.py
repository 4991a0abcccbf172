"""The write by which sealed values are replaced: only where still exactly that stands which was read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import connections, transaction

from mail_oauth.sealing import Sealed
from mail_oauth.upkeep.columns import SealedTable

Replaced = tuple[Sealed, Sealed]
"""A value that was read, and what takes its place."""


class Swap(NamedTuple):
    """A row, and what is replaced in it: for each of the columns that the statement names."""

    pk: Any
    values: tuple[Replaced, ...]


def swap(table: SealedTable, names: Sequence[str], swaps: Sequence[Swap]) -> int:
    """Replace values of these columns; return in how many rows.

    A row in which one was changed meanwhile, or that is locked just now, is left as it is. No ciphertext ever comes
    twice, since each has a random vector of its own: so this compares whole values, and a refresh that has saved a new
    token wins. It waits for nobody, where the database can pass over what is locked: no worker that changes several
    rows at a time can come to wait for it in a ring.
    """
    if not swaps:
        return 0
    statement = _Statement(table, names)
    connection = connections[table.using]
    if connection.vendor == "postgresql":
        return statement.swap_at_once(swaps)
    with transaction.atomic(using=table.using):
        free = list(swaps)
        if connection.features.has_select_for_update_skip_locked:
            rows = table.model._base_manager.using(table.using).select_for_update(skip_locked=True)
            held = set(rows.filter(pk__in=[each.pk for each in swaps]).values_list("pk", flat=True))
            free = [each for each in swaps if each.pk in held]
        return statement.swap_each(free)


class _Statement:
    """SQL for one table, with the values as its database takes them. Only names stand in it; values are parameters."""

    def __init__(self, table: SealedTable, names: Sequence[str]) -> None:
        self.connection = connections[table.using]
        quote, meta = self.connection.ops.quote_name, table.model._meta
        key: Any = meta.pk
        fields: list[Any] = [meta.get_field(name) for name in names]
        self.key, self.fields = key, fields
        self.table, self.id = quote(meta.db_table), quote(key.column)
        self.columns = [quote(field.column) for field in fields]

    def swap_at_once(self, swaps: Sequence[Swap]) -> int:
        """Swap by one statement, which passes over locked rows (PostgreSQL).

        Rows are found by their keys alone: were values compared by `=`, they could be hashed to join by, and to do so
        every value of the table would be read for each batch. Hence `IS TRUE`.
        """
        numbers = range(len(self.columns))
        given = ["id", *(f"{what}{number}" for number in numbers for what in ("old", "new"))]
        kinds = [self.key.rel_db_type(self.connection)]
        kinds += [field.db_type(self.connection) for field in self.fields for _ in ("old", "new")]
        rows = [", ".join(f"%s::{kind}" for kind in kinds), *[", ".join(["%s"] * len(kinds))] * (len(swaps) - 1)]
        same = [f"(stored.{column} = {{0}}.old{number}) IS TRUE" for number, column in enumerate(self.columns)]
        condition = " AND ".join(same)
        assigned = ", ".join(f"{column} = free.new{number}" for number, column in enumerate(self.columns))
        sql = (
            f"WITH given ({', '.join(given)}) AS (VALUES {', '.join(f'({row})' for row in rows)}), "  # noqa: S608
            f"free AS MATERIALIZED (SELECT given.* FROM {self.table} AS stored "
            f"JOIN given ON stored.{self.id} = given.id "
            f"WHERE {condition.format('given')} FOR NO KEY UPDATE OF stored SKIP LOCKED) "
            f"UPDATE {self.table} AS stored SET {assigned} FROM free "
            f"WHERE stored.{self.id} = free.id AND {condition.format('free')}"
        )
        values: list[Any] = []
        for each in swaps:
            values += [self._key(each), *(self._bytes(value) for pair in each.values for value in pair)]
        with self.connection.cursor() as cursor:
            cursor.execute(sql, values)
            return int(cursor.rowcount)

    def swap_each(self, swaps: Sequence[Swap]) -> int:
        """Swap row by row, within the caller's transaction."""
        if not swaps:
            return 0
        assigned = ", ".join(f"{column} = %s" for column in self.columns)
        same = " AND ".join(f"{column} = %s" for column in self.columns)
        sql = f"UPDATE {self.table} SET {assigned} WHERE {self.id} = %s AND {same}"  # noqa: S608
        values = []
        for each in swaps:
            old, new = zip(*each.values, strict=True)
            values.append([*map(self._bytes, new), self._key(each), *map(self._bytes, old)])
        with self.connection.cursor() as cursor:
            cursor.executemany(sql, values)
            return int(cursor.rowcount)

    def _key(self, each: Swap) -> Any:
        return self.key.get_db_prep_value(each.pk, self.connection, prepared=False)

    def _bytes(self, value: Sealed) -> Any:
        return self.fields[0].get_db_prep_save(value, self.connection)
