"""What the sources have in common that are tables of other apps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldError
from django.db.models import QuerySet

from mail_oauth.moving.entries import PAGE, Found, SourceError
from mail_oauth.moving.mistakes import ENDS_THE_RUN, apart
from mail_oauth.moving.sources.paging import paged

_Read = Callable[[Any], list[Found]]


def model_of(label: str, what: str) -> Any:
    """Return the model `app.Model`. Raises `SourceError`, which says what is missing."""
    try:
        return apps.get_model(label)
    except (LookupError, ValueError):
        raise SourceError(f"There is no model {label}: {what}.") from None


def walk(rows: QuerySet[Any], read: _Read) -> Iterator[list[Found]]:
    """Read a table by keyset, the newest rows first, `PAGE` rows at once: they may be changed meanwhile."""
    return paged(_each(rows.order_by("-pk"), read), PAGE)


def _each(ordered: QuerySet[Any], read: _Read) -> Iterator[Found]:
    rest = ordered
    try:
        while keys := list(rest.values_list("pk", flat=True)[:PAGE]):
            yield from _of_page(ordered, keys, read)
            rest = ordered.filter(pk__lt=keys[-1])
    except FieldError as error:
        raise SourceError(str(error)) from None


def _of_page(ordered: QuerySet[Any], keys: list[Any], read: _Read) -> Iterator[Found]:
    """Read rows; where one of them cannot even be loaded, each by itself: a column of JSON, or an encrypted one, may raise."""
    where = f"{ordered.model._meta.object_name} {{}}".format
    try:
        rows = list(ordered.filter(pk__in=keys))
    except (*ENDS_THE_RUN, FieldError):
        raise
    except Exception:  # noqa: BLE001  # it is met once more below, and told
        for key in keys:
            yield from apart(where(key), partial(_of_row, ordered, key, read))
        return
    for row in rows:
        yield from apart(where(row.pk), partial(read, row))


def _of_row(ordered: QuerySet[Any], key: Any, read: _Read) -> list[Found]:
    return [found for row in ordered.filter(pk=key) for found in read(row)]
