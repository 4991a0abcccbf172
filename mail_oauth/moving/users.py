"""Whom a source's names mean: one query for a page of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db import connections

from mail_oauth.managers.clock import DatabaseNow
from mail_oauth.moving.entries import SourceError
from mail_oauth.moving.values import mailable

LONGEST = 255
"""In characters; no longer name is looked up."""


def column_of_users(name: str) -> Any:
    """Return the users' column that names them; ``"pk"`` is the primary key.

    Raises `SourceError` where there is none, and for what names nobody: a relation, and their passwords.
    """
    meta = get_user_model()._meta
    if name == "pk":
        return meta.pk
    columns = {field.name: field for field in meta.concrete_fields if not field.is_relation}
    columns.pop("password", None)
    if name not in columns:
        raise SourceError(f"Users have no column {name!r} that names them: --user-field says which one does.")
    return columns[name]


class Users:
    """The site's users by one of their columns. A name means exactly one of them, spelt exactly so, or nobody."""

    def __init__(self, column: str, using: str) -> None:
        """Look names up in `column`; ``"pk"`` is the primary key. Raises `SourceError` for one that is none."""
        self._model = get_user_model()
        self._field: Any = column_of_users(column)
        self.using = using

    @property
    def are_named_by_address(self) -> bool:
        """Whether the column is their e-mail address."""
        return bool(self._field.name == self._model.get_email_field_name())

    def named(self, names: Iterable[str], *, lock: bool) -> tuple[dict[str, Any], datetime | None]:
        """Return the primary keys of those who are meant by names, and the database's time if anybody is.

        With `lock`, inside a transaction, nobody can give them a mailbox meanwhile: to store one, its row locks its user.
        """
        wanted = {name: value for name in set(names) if (value := self._value(name)) is not None}
        if not wanted:
            return {}, None
        rows = self._model._base_manager.using(self.using).filter(**{f"{self._field.name}__in": wanted.values()})
        if lock and connections[self.using].features.has_select_for_update:
            rows = rows.select_for_update().order_by("pk")  # in one order: no two imports wait for each other
        found = list(rows.values_list("pk", self._field.name, DatabaseNow()))
        by_value: dict[Any, list[Any]] = {}
        for pk, value, _ in found:
            by_value.setdefault(value, []).append(pk)
        # To some collations "ada" and "Ada" are one name: compared here once more.
        keys = {name: by_value[value] for name, value in wanted.items() if value in by_value}
        return {name: pks[0] for name, pks in keys.items() if len(pks) == 1}, found[0][2] if found else None

    def addresses(self, pks: Iterable[Any]) -> dict[Any, str]:
        """Return the e-mail addresses of users, where what stands in their rows is one."""
        rows = self._model._base_manager.using(self.using).filter(pk__in=set(pks))
        found = rows.values_list("pk", self._model.get_email_field_name())
        return {pk: address for pk, text in found if (address := mailable(text))}

    def _value(self, name: str) -> Any:
        """Return what a name stands for in the column; None where it cannot stand there."""
        if not name or len(name) > LONGEST or not name.isprintable():
            return None
        try:
            value = self._field.to_python(name)
            self._field.run_validators(value)
        except (ValidationError, ValueError):  # a column of bytes raises the latter
            return None
        # "007" is not user 7; a UUID has several spellings.
        return value if str(value) == name or isinstance(value, UUID) else None
