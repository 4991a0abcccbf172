"""Uniqueness among the rows that have a value at all, on every database."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage
from django.db import models
from django.db.models import Q

_NO_PARTIAL_INDEX = "models.W036"


class UniqueWherePresent(models.UniqueConstraint):
    """No two rows have the same value in a column that most of them leave NULL.

    To a unique index all NULLs differ, so it says no more than the plain one. Where a database has partial indexes, it
    holds the few rows alone that have a value, and costs the writes of all others nothing. MariaDB has the plain one.
    """

    def __init__(self, *, field: str, name: str) -> None:
        """Name the column."""
        self._field = field
        super().__init__(fields=[field], condition=Q(**{f"{field}__isnull": False}), name=name)

    def deconstruct(self) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
        """Return what makes it again in a migration."""
        return f"{type(self).__module__}.{type(self).__qualname__}", (), {"field": self._field, "name": self.name}

    def clone(self) -> UniqueWherePresent:
        """Return another one."""
        return type(self)(field=self._field, name=str(self.name))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UniqueWherePresent) and self.deconstruct() == other.deconstruct()

    def __hash__(self) -> int:
        return hash((self._field, self.name))

    def check(self, model: Any, connection: Any) -> list[CheckMessage]:
        """Say nothing of the index that is not partial."""
        return _all_but_that(super().check(model, connection))

    def _check(self, model: Any, connection: Any) -> list[CheckMessage]:
        """Do the same; so it is called on Django 5.2."""
        return _all_but_that(super()._check(model, connection))  # type: ignore[misc]

    def _on(self, schema_editor: Any) -> models.UniqueConstraint:
        if schema_editor.connection.features.supports_partial_indexes:
            return models.UniqueConstraint(fields=self.fields, condition=self.condition, name=str(self.name))
        return models.UniqueConstraint(fields=self.fields, name=str(self.name))

    def constraint_sql(self, model: Any, schema_editor: Any) -> Any:
        """Return what a new table has for it."""
        return self._on(schema_editor).constraint_sql(model, schema_editor)

    def create_sql(self, model: Any, schema_editor: Any) -> Any:
        """Return the statement that adds it."""
        return self._on(schema_editor).create_sql(model, schema_editor)

    def remove_sql(self, model: Any, schema_editor: Any) -> Any:
        """Return the statement that removes it."""
        return self._on(schema_editor).remove_sql(model, schema_editor)


def _all_but_that(found: list[CheckMessage]) -> list[CheckMessage]:
    return [each for each in found if each.id != _NO_PARTIAL_INDEX]
