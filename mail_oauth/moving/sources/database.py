"""What the sources have in common that are tables of other apps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldError
from django.db.models import QuerySet

from mail_oauth.moving.entries import PAGE, Found, SourceError


def model_of(label: str, what: str) -> Any:
    """Return the model `app.Model`. Raises `SourceError`, which says what is missing."""
    try:
        return apps.get_model(label)
    except (LookupError, ValueError):
        raise SourceError(f"There is no model {label}: {what}.") from None


def walk(rows: QuerySet[Any], read: Callable[[Any], list[Found]]) -> Iterator[list[Found]]:
    """Read a table by keyset, the newest rows first, `PAGE` rows at once: they may be changed meanwhile."""
    ordered = rows.order_by("-pk")
    try:
        page = list(ordered[:PAGE])
    except FieldError as error:
        raise SourceError(str(error)) from None
    while page:
        yield [found for row in page for found in read(row)]
        page = list(ordered.filter(pk__lt=page[-1].pk)[:PAGE]) if len(page) == PAGE else []
