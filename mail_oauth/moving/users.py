"""Whom a source's names mean: one query for a page of them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import connections

from mail_oauth.managers.clock import DatabaseNow
from mail_oauth.moving.entries import SourceError

LONGEST = 255
"""In characters; no longer name is looked up."""


class Users:
    """The site's users by one of their columns. A name means exactly one of them, spelt exactly so, or nobody."""

    def __init__(self, column: str, using: str) -> None:
        """Look names up in `column`; ``"pk"`` is the primary key. Raises `SourceError` for one that is none."""
        self._model = get_user_model()
        try:
            self._field: Any = self._model._meta.pk if column == "pk" else self._model._meta.get_field(column)
        except FieldDoesNotExist:
            raise SourceError(
                f"Users have no column {column!r}: --user-field names the one that is meant."
            ) from None
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
        """Return the e-mail addresses of users, as they are in their rows."""
        rows = self._model._base_manager.using(self.using).filter(pk__in=set(pks))
        return dict(rows.values_list("pk", self._model.get_email_field_name()))

    def _value(self, name: str) -> Any:
        """Return what a name stands for in the column; None where it cannot stand there."""
        if not name or len(name) > LONGEST or not name.isprintable():
            return None
        try:
            value = self._field.to_python(name)
            self._field.run_validators(value)
        except ValidationError:
            return None
        # "007" is not user 7; a UUID has several spellings.
        return value if str(value) == name or isinstance(value, UUID) else None
