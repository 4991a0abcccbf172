"""Rows from a statement of our own on PostgreSQL, for a quarter of what `raw()` takes to load them.

Django has psycopg read each time with a zone by code in Python (10 µs), and a binary column comes as two digits for
each byte. Here both come as the text that they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db.models import DateTimeField
from django.db.models.base import ModelState

from mail_oauth.fields import SealedField
from mail_oauth.sealing import Sealed

if TYPE_CHECKING:
    from mail_oauth.models import MailCredentials


class RowLoader:
    """Loads rows of `model`, of which the columns `left_out` stay in the database (see `QuerySet.defer`)."""

    def __init__(self, model: type[MailCredentials], using: str, left_out: Collection[str]) -> None:
        """Load them from the database `using`, which is a PostgreSQL."""
        self._model = model
        self._using = using
        self._fields = [field for field in model._meta.concrete_fields if field.name not in left_out]

    def columns(self, table: str) -> str:
        """Return what a statement selects or returns of `table`, before anything else."""
        forms = [(_FORMS.get(type(field), _AS_IT_IS)[0], field.column) for field in self._fields]
        return ", ".join(form.format(f"{table}.{column}") for form, column in forms)

    def load(self, found: Iterable[tuple[Any, ...]]) -> list[MailCredentials]:
        """Make rows of what the statement returned, which may go on with other values."""
        compiler: Any = self._model._base_manager.using(self._using).query.get_compiler(self._using)
        table = self._model._meta.db_table
        converters = compiler.get_converters([field.get_col(table) for field in self._fields])
        for place, field in enumerate(self._fields):
            if type(field) in _FORMS:
                converters[place] = ([_FORMS[type(field)][1]], None)
        names = [field.attname for field in self._fields]
        return [self._made(names, values) for values in compiler.apply_converters(found, converters)]

    def _made(self, names: list[str], values: Iterable[Any]) -> MailCredentials:
        """Make a row as unpickling does: `__init__` would take longer than all the rest."""
        row = self._model.__new__(self._model)
        row.__dict__.update(zip(names, values, strict=False), _state=ModelState())
        row._state.db = self._using
        row._state.adding = False
        return row


def _moment(text: str | None, _: Any, connection: Any) -> datetime | None:
    """Read a time as the site has them: in the connection's zone, or with none (`USE_TZ`)."""
    if text is None:
        return None
    moment, zone = datetime.fromisoformat(text), connection.timezone
    return moment.replace(tzinfo=None) if zone is None else moment.astimezone(zone)


_ESCAPE = re.compile(rb"\\(\\|[0-7]{3})")


def _sealed(text: str | None, *_: Any) -> Sealed | None:
    """Read a sealed value as its field does. What holds a backslash was never sealed, but has to be the same twice."""
    if text is not None and "\\" in text:
        stored = _ESCAPE.sub(
            lambda found: b"\\" if found[1] == b"\\" else bytes([int(found[1], 8)]), text.encode()
        )
        text = stored.decode("ascii", "replace")
    return None if text is None else Sealed(text)


_AS_IT_IS = ("{}", None)
_FORMS: dict[Any, tuple[str, Any]] = {
    DateTimeField: ("{}::text", _moment),
    SealedField: ("encode({}, 'escape')", _sealed),
}
"""How a field's column is asked for, and how it is read."""
