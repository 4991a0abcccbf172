"""Every encrypted column that there is, found by looking at the models: of this app, and of others that use its field.

Imports no model: system checks are registered before there are any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from itertools import groupby
from operator import or_
from typing import Any

from django.apps import apps
from django.db import connections, models, router
from django.db.models import BinaryField, Case, Count, F, Q, Value, When
from django.db.models.functions import Substr
from django.db.models.lookups import Exact

from mail_oauth.fields import SealedField
from mail_oauth.sealing import FERNET_START, FINGERPRINT_LENGTH, PREFIX, Key, label_of

PLAIN, OTHER = "plain", "other"
"""What stands in a fingerprint's place for a value of django-fernet-fields' own field, and for anything else."""

_START = f"{PREFIX}:".encode()
_LABEL_LENGTH = len(_START) + FINGERPRINT_LENGTH + 1


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """One column, and the database in which it is written."""

    model: type[models.Model]
    name: str
    using: str

    @property
    def title(self) -> str:
        """The table's and the column's name."""
        return f"{self.model._meta.db_table}.{self.name}"

    @property
    def rows(self) -> models.QuerySet[Any]:
        """The rows that have a value, by a manager that hides none."""
        return self.model._base_manager.using(self.using).filter(self.has_value)

    @property
    def has_value(self) -> Q:
        """The condition for rows that have one."""
        return Q(**{f"{self.name}__isnull": False})

    def under(self, keys: Iterable[Key]) -> Q:
        """Return the condition for a value that shows one of these keys."""
        shown = [_START + key.fingerprint.encode() + b":" for key in keys]
        return reduce(or_, map(self._begins, shown))

    def not_under(self, key: Key) -> Q:
        """Return the condition for a value that is not sealed under `key`, by what it shows in clear."""
        return self.has_value & ~self.under([key])

    def unbound(self) -> Q:
        """Return the condition for a value that is sealed for no place."""
        return self.has_value & ~self._begins(_START)

    def count_by_key(self) -> dict[str, int]:
        """Count values by the fingerprint of their key, `PLAIN` or `OTHER`; one query, which decrypts nothing."""
        label = Case(
            When(self._begins(_START), then=self._first(_LABEL_LENGTH)),
            When(self._begins(FERNET_START.encode()), then=Value(PLAIN.encode(), BinaryField())),
            default=Value(OTHER.encode(), BinaryField()),
            output_field=BinaryField(),
        )
        counted: dict[str, int] = {}
        for found, number in self.rows.order_by().values_list(label).annotate(number=Count("pk")):
            name = _name(bytes(found))
            counted[name] = counted.get(name, 0) + number
        return counted

    def _begins(self, start: bytes) -> Q:
        return Q(Exact(self._first(len(start)), Value(start, BinaryField())))

    def _first(self, length: int) -> Substr:
        return Substr(F(self.name), 1, length, output_field=BinaryField())


@dataclass(frozen=True, slots=True)
class SealedTable:
    """A table with its encrypted columns, one at least."""

    columns: tuple[SealedColumn, ...]

    @property
    def model(self) -> type[models.Model]:
        """Its model."""
        return self.columns[0].model

    @property
    def using(self) -> str:
        """The database in which it is written."""
        return self.columns[0].using

    def where(self, condition: Callable[[SealedColumn], Q]) -> models.QuerySet[Any]:
        """The rows of which a value meets a condition, by a manager that hides none."""
        any_of_them = reduce(or_, map(condition, self.columns))
        return self.model._base_manager.using(self.using).filter(any_of_them)


def sealed_tables(using: str | None = None) -> list[SealedTable]:
    """Return the tables that have encrypted columns, as far as their databases have them so far; of one with `using`."""
    by_table = groupby(sealed_columns(using), key=lambda column: (column.model, column.using))
    present = [tuple(_present(model, alias, columns)) for (model, alias), columns in by_table]
    return [SealedTable(columns) for columns in present if columns]


def present_columns(using: str | None = None) -> list[SealedColumn]:
    """Return the columns of `sealed_tables`."""
    return [column for table in sealed_tables(using) for column in table.columns]


def sealed_columns(using: str | None = None) -> list[SealedColumn]:
    """Return every encrypted column of the installed apps, each where it is written; of one database with `using`."""
    return [
        SealedColumn(model, field.name, alias)
        for model in apps.get_models(include_auto_created=True)
        if not model._meta.proxy
        for alias in _aliases(model, using)
        for field in model._meta.local_concrete_fields
        if isinstance(field, SealedField)
    ]


def keys_in_use(using: str) -> dict[str, dict[str, int]]:
    """Count the values of one database by the fingerprint of their key and by column; those that show none are left out."""
    found: dict[str, dict[str, int]] = {}
    for column in present_columns(using):
        for key, number in column.count_by_key().items():
            if key not in {PLAIN, OTHER}:
                found.setdefault(key, {})[column.title] = number
    return found


def pages(rows: models.QuerySet[Any], names: Iterable[str], size: int) -> Iterator[list[Any]]:
    """Read rows by keyset, each page from after the last one; of their columns only the key and these."""
    narrow = rows.only("pk", *names).order_by("pk")
    page = list(narrow[:size])
    while page:
        yield page
        page = list(narrow.filter(pk__gt=page[-1].pk)[:size]) if len(page) == size else []


def _present(model: type[models.Model], using: str, columns: Iterable[SealedColumn]) -> Iterator[SealedColumn]:
    """Yield the columns that the database has: the others may still be migrated. It is asked once for a table."""
    connection, table = connections[using], model._meta.db_table
    with connection.cursor() as cursor:
        if table not in connection.introspection.table_names(cursor):
            return
        names = {each.name for each in connection.introspection.get_table_description(cursor, table)}
    for column in columns:
        if getattr(model._meta.get_field(column.name), "column", None) in names:
            yield column


def _aliases(model: type[models.Model], using: str | None) -> list[str]:
    if using is None:
        return [router.db_for_write(model)]
    return [using] if router.allow_migrate_model(using, model) else []


def _name(found: bytes) -> str:
    text = found.decode("ascii", "replace")
    return text if text in {PLAIN, OTHER} else label_of(found) or OTHER
