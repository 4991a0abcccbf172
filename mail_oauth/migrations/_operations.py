"""Operations that leave a live table usable."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import OperationalError, migrations, models, transaction
from django.db.migrations.operations.base import Operation

LOCK_SECONDS = 5.0
"""How long an operation waits for a lock that others would queue behind."""

_LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL's SQLSTATE when lock_timeout is over


class AddIndexLive(migrations.AddIndex):
    """Add an index without locking out writers on PostgreSQL (CREATE INDEX CONCURRENTLY).

    It needs a migration with `atomic = False`. Elsewhere it is a plain `AddIndex`, which does not stop InnoDB's
    writers either. Django's own operation imports psycopg and serves PostgreSQL only.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Create it."""
        model = to_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            _add(schema_editor, model, self.index)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Drop it."""
        model = from_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            schema_editor.remove_index(model, self.index, **_concurrently(schema_editor))


class RemoveIndexLive(migrations.RemoveIndex):
    """Remove an index in the same way; backwards it is added again."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Drop it."""
        model = from_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            index = from_state.models[app_label, self.model_name_lower].get_index_by_name(self.name)
            schema_editor.remove_index(model, index, **_concurrently(schema_editor))

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Create it."""
        model = to_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            _add(
                schema_editor,
                model,
                to_state.models[app_label, self.model_name_lower].get_index_by_name(self.name),
            )


class DropKeyIndexLive(migrations.AlterField):
    """Take from a foreign key the index of its own (`db_index=False`), where another one begins with its column.

    The constraint stays: Django's `AlterField` drops it, and adds it again by a look at every row. InnoDB needs no
    statement, for it makes such an index by itself, and drops it as soon as another one begins with the column.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Drop it."""
        model = from_state.apps.get_model(app_label, self.model_name)
        for name in self._names(schema_editor, model):
            _drop(schema_editor, model, name)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Create it."""
        model = to_state.apps.get_model(app_label, self.model_name)
        names = set(self._names(schema_editor, model))
        for name in names & _invalid(schema_editor, model):
            _drop(schema_editor, model, name)
            names.remove(name)
        if self._is_ours(schema_editor, model) and not names:
            field = model._meta.get_field(self.name)
            sql = schema_editor._create_index_sql(model, fields=[field], **_concurrently(schema_editor))
            schema_editor.execute(sql)

    def _names(self, schema_editor: Any, model: Any) -> list[str]:
        """Return the indexes that are the field's own."""
        if not self._is_ours(schema_editor, model):
            return []
        declared = {index.name for index in model._meta.indexes}
        columns = [model._meta.get_field(self.name).column]
        names: list[str] = schema_editor._constraint_names(
            model, columns, index=True, type_=models.Index.suffix, exclude=declared
        )
        return names

    def _is_ours(self, schema_editor: Any, model: Any) -> bool:
        connection = schema_editor.connection
        return self.allow_migrate_model(connection.alias, model) and connection.vendor != "mysql"


class AddFieldLive(migrations.AddField):
    """Add a column that costs no look at the rows, and give up rather than have everybody wait (see `StoreAsItIs`)."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Add it."""
        with _giving_up(schema_editor, self.model_name):
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Drop it."""
        with _giving_up(schema_editor, self.model_name):
            super().database_backwards(app_label, schema_editor, from_state, to_state)


class AllowNull(migrations.AlterField):
    """Let a foreign key be empty; backwards, the rows in which it is go first: the release before can hold none.

    The constraint stays, as with `DropKeyIndexLive`. SQLite copies the table, as at each change of a column.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Allow it."""
        self._alter(app_label, schema_editor, from_state, to_state)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Forbid it."""
        model = from_state.apps.get_model(app_label, self.model_name)
        alias = schema_editor.connection.alias
        if self.allow_migrate_model(alias, model) and not schema_editor.collect_sql:
            model._base_manager.using(alias).filter(**{f"{self.name}__isnull": True}).delete()
        self._alter(app_label, schema_editor, from_state, to_state)

    def _alter(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        before = from_state.apps.get_model(app_label, self.model_name)
        after = to_state.apps.get_model(app_label, self.model_name)
        connection = schema_editor.connection
        if not self.allow_migrate_model(connection.alias, after):
            return
        fields = before._meta.get_field(self.name), after._meta.get_field(self.name)
        if connection.vendor == "sqlite":
            schema_editor.alter_field(before, *fields)
            return
        changes, parameters = schema_editor._alter_column_null_sql(after, *fields)
        table = schema_editor.quote_name(after._meta.db_table)
        with _giving_up(schema_editor, table):
            schema_editor.execute(
                schema_editor.sql_alter_column % {"table": table, "changes": changes}, parameters
            )


class AddUniqueLive(migrations.AddConstraint):
    """Add a unique constraint that is an index without locking out writers on PostgreSQL; see `AddIndexLive`."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Create it."""
        model = to_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        if self.constraint.name in _invalid(schema_editor, model):
            _drop(schema_editor, model, self.constraint.name)
        if not _concurrently(schema_editor):
            schema_editor.add_constraint(model, self.constraint)
            return
        sql = str(self.constraint.create_sql(model, schema_editor))
        schema_editor.execute(
            sql.replace("CREATE UNIQUE INDEX", "CREATE UNIQUE INDEX CONCURRENTLY", 1), params=None
        )

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Drop it."""
        model = from_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        if _concurrently(schema_editor):
            _drop(schema_editor, model, self.constraint.name)
        else:
            schema_editor.remove_constraint(model, self.constraint)


class StoreAsItIs(Operation):
    """Spare PostgreSQL its tries to compress columns that are encrypted: they grow no smaller.

    What is stored already stays. It takes a lock that lets nobody read, for a moment, once no transaction that has
    read the table is left. While it waits for that, everybody else queues behind it: so it gives up after
    `LOCK_SECONDS`, with an `OperationalError` that says what to do.
    """

    def __init__(self, model_name: str, names: list[str]) -> None:
        """Name the model and its fields."""
        self.model_name = model_name
        self.names = names

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Models do not know of it."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Compress no longer."""
        self._store(schema_editor, to_state.apps.get_model(app_label, self.model_name), "EXTERNAL")

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Try it again, as is PostgreSQL's default."""
        self._store(schema_editor, to_state.apps.get_model(app_label, self.model_name), "EXTENDED")

    def describe(self) -> str:
        """Say what it does."""
        return f"Store {', '.join(self.names)} of {self.model_name} uncompressed"

    def _store(self, schema_editor: Any, model: Any, how: str) -> None:
        connection = schema_editor.connection
        if connection.vendor != "postgresql" or not self.allow_migrate_model(connection.alias, model):
            return
        columns = [schema_editor.quote_name(model._meta.get_field(name).column) for name in self.names]
        table = schema_editor.quote_name(model._meta.db_table)
        actions = ", ".join(f"ALTER COLUMN {column} SET STORAGE {how}" for column in columns)
        with _giving_up(schema_editor, table):
            schema_editor.execute(f"ALTER TABLE {table} {actions}")


@contextmanager
def _giving_up(schema_editor: Any, table: str) -> Iterator[None]:
    """Wait for no lock of PostgreSQL's for longer than `LOCK_SECONDS`, in a transaction that ends with the setting."""
    if schema_editor.connection.vendor != "postgresql":
        yield
        return
    begin, end = (["BEGIN"], ["COMMIT"]) if schema_editor.collect_sql else ([], [])
    try:
        with transaction.atomic(using=schema_editor.connection.alias):
            for statement in (*begin, f"SET LOCAL lock_timeout = '{LOCK_SECONDS * 1000:.0f}ms'"):
                schema_editor.execute(statement)
            yield
            for statement in end:
                schema_editor.execute(statement)
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", getattr(error.__cause__, "pgcode", "")) != _LOCK_NOT_AVAILABLE:
            raise
        raise OperationalError(
            f"A transaction has held {table} for {LOCK_SECONDS:g} s, and everybody else would have queued behind this "
            "migration: it gave up, and has changed nothing that a second run would not find. Run `manage.py migrate` "
            "again; pg_stat_activity shows what runs so long."
        ) from error


def _add(schema_editor: Any, model: Any, index: models.Index) -> None:
    """Create an index; one that an interrupted run has left unfinished, and that nobody reads, goes first."""
    if index.name in _invalid(schema_editor, model):
        _drop(schema_editor, model, index.name)
    schema_editor.add_index(model, index, **_concurrently(schema_editor))


def _drop(schema_editor: Any, model: Any, name: str) -> None:
    schema_editor.execute(schema_editor._delete_index_sql(model, name, **_concurrently(schema_editor)))


def _invalid(schema_editor: Any, model: Any) -> set[str]:
    """Return the indexes that PostgreSQL did not finish: they take writes, and serve no query."""
    if schema_editor.connection.vendor != "postgresql":
        return set()
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
            "WHERE indrelid = to_regclass(%s) AND NOT indisvalid",
            [schema_editor.quote_name(model._meta.db_table)],
        )
        return {name for (name,) in cursor.fetchall()}


def _concurrently(schema_editor: Any) -> dict[str, bool]:
    return {"concurrently": True} if schema_editor.connection.vendor == "postgresql" else {}
