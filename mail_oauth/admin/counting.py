"""Counting what a list has without waiting for it: where there are many, PostgreSQL's estimate will do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.core.paginator import Paginator
from django.db import OperationalError, connections, transaction
from django.db.models import QuerySet
from django.utils.functional import cached_property

if TYPE_CHECKING:
    _Paginator = Paginator[Any]
else:
    _Paginator = Paginator

EXACT_UPTO = 10_000
"""So many are counted one by one; above that a person does not turn the pages, but narrows the search."""

CHEAP = 2_000.0
"""The planner's cost of what is counted within milliseconds, as some thousand rows are: no statement is worth a thought."""

COUNT_MILLISECONDS = 50
"""How long that may take, before the estimate is taken instead."""

_CANCELLED = "57014"  # PostgreSQL's SQLSTATE when statement_timeout is over


class EstimatingPaginator(_Paginator):
    """Pages of a queryset; `estimated` tells whether `count` is what PostgreSQL takes it to be. Exact elsewhere."""

    estimated = False

    @cached_property
    def count(self) -> int:
        """How many there are, or about."""
        rows = self.object_list
        if not isinstance(rows, QuerySet) or connections[rows.db].vendor != "postgresql":
            return int(super().count)
        about, cost = _planned(rows)
        if cost <= CHEAP:
            return rows.count()
        exact = _counted(rows) if about <= EXACT_UPTO else None
        self.estimated = exact is None
        return about if exact is None else exact


def _planned(rows: QuerySet[Any]) -> tuple[int, float]:
    """Ask the planner how many there are, about, and what it costs to find them.

    It knows the table by its last ANALYZE, and by its size as it is now.
    """
    told = rows.order_by().explain(format="json")
    if not told:  # Django knows that there can be none, and asks nobody
        return 0, 0.0
    [plan] = json.loads(told)
    return int(plan["Plan"]["Plan Rows"]), float(plan["Plan"]["Total Cost"])


def _counted(rows: QuerySet[Any]) -> int | None:
    """Count; None where that takes too long."""
    try:
        with transaction.atomic(using=rows.db):
            with connections[rows.db].cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = {COUNT_MILLISECONDS}")
            number = rows.count()
            # Nothing was written. So the setting goes back to what it was, in a transaction of the caller's, too.
            transaction.set_rollback(True, using=rows.db)
            return number
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", getattr(error.__cause__, "pgcode", "")) != _CANCELLED:
            raise
        return None
