"""One operation on many rows, bounded by their number and by time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet

from mail_oauth.admin.operations import Operation, Result, perform
from mail_oauth.models import MailCredentials

BUDGET_SECONDS = 20.0
"""How long one request goes on starting operations: below the patience of common proxies."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of each row, and how many were left: to the sweep, or undone. `refused`: too many, nothing was done."""

    results: list[tuple[MailCredentials, Result]] = field(default_factory=list)
    left: int = 0
    undone: int = 0
    refused: bool = False


def perform_all(
    operation: Operation, queryset: QuerySet[MailCredentials], actor: Any, *, budget: float = BUDGET_SECONDS
) -> Batch:
    """Do it to the first `at_once` rows within `budget` seconds; leave the rest to the sweep, undone, or refuse them."""
    rows = list(queryset.defer(None)[: operation.at_once + 1])
    if len(rows) > operation.at_once and operation.leave is None:
        return Batch(refused=True)
    give_up_at = time.monotonic() + budget
    results: list[tuple[MailCredentials, Result]] = []
    for row in rows[: operation.at_once]:
        if (operation.leave is not None or operation.hurries) and time.monotonic() > give_up_at:
            break
        results.append((row, perform(operation, row, actor)))
    left = undone = 0
    if operation.leave is not None and len(rows) > len(results):
        left = operation.leave(queryset.exclude(pk__in=[row.pk for row, _result in results]))
    elif operation.leave is None:
        undone = len(rows) - len(results)
    return Batch(results, left, undone)
