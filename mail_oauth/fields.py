"""The model field of sealed values, on django-fernet-fields.

It mends three traps of the plain field (its expressions store the encrypted text of the SQL, one unreadable
row breaks a whole queryset, its keys are read once for ever): only `Sealed` values are stored, nothing is
decrypted on the way out of the database, and keys are the keyring's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.core import checks
from django.core.exceptions import FieldError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Case, Value
from django.db.models.functions import Cast
from fernet_fields import EncryptedTextField

from mail_oauth.exceptions import UnsealedValue
from mail_oauth.sealing import Sealed


class SealedField(EncryptedTextField):  # type: ignore[misc]  # django-fernet-fields has no types
    """A column of `Sealed` values (ASCII in a binary column), or NULL.

    Its model has a method `place(column)`, which returns the name of the place that a column's value is sealed for:
    one that no other row, column or table has, and that never changes. By it values are sealed under another key.
    """

    if TYPE_CHECKING:

        def __get__(self, instance: Any, owner: Any) -> Sealed | None: ...

        def __set__(self, instance: Any, value: Sealed | None) -> None: ...

    def check(self, **kwargs: Any) -> list[checks.CheckMessage]:
        """Check that the model names the places of its values: what names none could not be sealed anew."""
        found = list(super().check(**kwargs))
        if not callable(getattr(self.model, "place", None)):
            found.append(
                checks.Error(
                    f"{self.model._meta.label} has the encrypted column {self.name}, but names no place for its values.",
                    hint=f'Add: def place(self, column): return f"{self.model._meta.db_table}.{{column}}:{{self.pk}}"',
                    obj=self,
                    id="mail_oauth.E009",
                )
            )
        return found

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Sealed | None:
        """Wrap what the column holds; whether it can be read is found out when it is unsealed."""
        return None if value is None else Sealed(bytes(value).decode("ascii", "replace"))

    def to_python(self, value: Any) -> Sealed | None:
        """Read what a fixture holds (`loaddata`): sealed text, or nothing. Any other text is refused."""
        if value is None or isinstance(value, Sealed):
            return value
        if isinstance(value, str) and (sealed := Sealed(value)).is_well_formed:
            return sealed
        raise self._unsealed(value)

    def get_prep_value(self, value: Any) -> str | None:
        """Return the text to store; a plain string is refused before it reaches the database."""
        if value is None or isinstance(value, Sealed):
            return None if value is None else value.text
        raise self._unsealed(value)

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        """Return the bytes to store, or the expression by which `bulk_update()` assigns sealed values."""
        if hasattr(value, "as_sql"):
            return self._checked(value)
        text = self.get_prep_value(value)
        return None if text is None else cast(Any, connection).Database.Binary(text.encode("ascii"))

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        """The same as for saving: there is no lookup on an encrypted column but `isnull`."""
        return self.get_db_prep_save(value, connection)

    def value_to_string(self, obj: Any) -> str:
        """Serialise the sealed text (`dumpdata`); it opens only with the site's keys and at its own row."""
        return self.get_prep_value(self.value_from_object(obj)) or ""

    def _checked(self, expression: Any) -> Any:
        """Let `bulk_update()`'s tree of sealed constants pass; refuse every other expression."""
        for node in _assigned(expression):
            if isinstance(node, Value):
                self.get_prep_value(node.value)
            elif not isinstance(node, (Case, Cast)):
                raise FieldError(f"{self.name} is encrypted: assign a Sealed value, not an expression.")
        return expression

    def _unsealed(self, value: Any) -> UnsealedValue:
        kind = type(value).__name__
        return UnsealedValue(f"{self.name} takes a Sealed value (see MailCredentials.sealed), not {kind}.")


def _assigned(expression: Any) -> list[Any]:
    """Return the nodes of `expression` whose value would be stored."""
    nodes = [expression]
    if isinstance(expression, Case):
        branches = [case.result for case in expression.cases] + [expression.default]
        nodes += [node for branch in branches for node in _assigned(branch)]
    elif isinstance(expression, Cast):
        nodes += [node for source in expression.get_source_expressions() for node in _assigned(source)]
    return nodes
