"""The write by which sealed values are replaced: only where still exactly that stands which was read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from django.db import connections, transaction

from mail_oauth.sealing import Sealed
from mail_oauth.upkeep.columns import SealedColumn


class Swap(NamedTuple):
    """A value that was read, and what takes its place."""

    pk: Any
    old: Sealed
    new: Sealed


def swap(column: SealedColumn, swaps: Sequence[Swap]) -> int:
    """Replace values; return how many. One that was changed meanwhile, or that is locked just now, is left as it is.

    No ciphertext ever comes twice, since each has a random vector of its own: so this compares whole values, and a
    refresh that has saved a new token wins. It waits for nobody, where the database can pass over what is locked: no
    worker that changes several rows at a time can come to wait for it in a ring.
    """
    if not swaps:
        return 0
    statement = _Statement(column)
    connection = connections[column.using]
    if connection.vendor == "postgresql":
        return statement.swap_at_once(swaps)
    with transaction.atomic(using=column.using):
        free = list(swaps)
        if connection.features.has_select_for_update_skip_locked:
            rows = column.model._base_manager.using(column.using).select_for_update(skip_locked=True)
            held = set(rows.filter(pk__in=[each.pk for each in swaps]).values_list("pk", flat=True))
            free = [each for each in swaps if each.pk in held]
        return statement.swap_each(free)


class _Statement:
    """SQL for one column, with the values as its database takes them."""

    def __init__(self, column: SealedColumn) -> None:
        self.connection = connections[column.using]
        quote, meta = self.connection.ops.quote_name, column.model._meta
        field: Any = meta.get_field(column.name)
        key: Any = meta.pk
        self.field, self.key = field, key
        self.table, self.name, self.id = quote(meta.db_table), quote(self.field.column), quote(self.key.column)

    def swap_at_once(self, swaps: Sequence[Swap]) -> int:
        """Swap by one statement, which passes over locked rows (PostgreSQL)."""
        types = self.key.rel_db_type(self.connection), *[self.field.db_type(self.connection)] * 2
        rows = [f"({', '.join(f'%s::{each}' for each in types)})", *["(%s, %s, %s)"] * (len(swaps) - 1)]
        # Only names stand in these statements; all values are parameters.
        same = f"stored.{self.id} = given.id AND stored.{self.name} = given.old"
        sql = (
            f"WITH given (id, old, new) AS (VALUES {', '.join(rows)}), "  # noqa: S608
            f"free AS MATERIALIZED (SELECT given.id FROM {self.table} AS stored JOIN given ON {same} "
            "ORDER BY given.id FOR NO KEY UPDATE OF stored SKIP LOCKED) "
            f"UPDATE {self.table} AS stored SET {self.name} = given.new FROM given JOIN free ON free.id = given.id "
            f"WHERE {same}"
        )
        with self.connection.cursor() as cursor:
            cursor.execute(sql, [value for each in swaps for value in self._values(each)])
            return int(cursor.rowcount)

    def swap_each(self, swaps: Sequence[Swap]) -> int:
        """Swap one by one, within the caller's transaction."""
        if not swaps:
            return 0
        sql = f"UPDATE {self.table} SET {self.name} = %s WHERE {self.id} = %s AND {self.name} = %s"  # noqa: S608
        values = [(new, pk, old) for pk, old, new in map(self._values, swaps)]
        with self.connection.cursor() as cursor:
            cursor.executemany(sql, values)
            return int(cursor.rowcount)

    def _values(self, each: Swap) -> tuple[Any, Any, Any]:
        pk = self.key.get_db_prep_value(each.pk, self.connection, prepared=False)
        old, new = (self.field.get_db_prep_save(value, self.connection) for value in (each.old, each.new))
        return pk, old, new
