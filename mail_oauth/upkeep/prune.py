"""Pruning: history that is too old, and consents that were never finished."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from mail_oauth.conf import app_settings
from mail_oauth.models import ConnectAttempt, CredentialEvent, ProviderFault

BATCH = 1000
"""How many rows one statement deletes, so that none holds locks for long."""


def prune_events(days: float | None = None) -> int:
    """Delete events older than `days` (`EVENT_DAYS` by default), expired consents, and faults that count no more.

    Returns how many events.
    """
    kept = app_settings().event_days if days is None else days
    before = timezone.now() - timedelta(days=kept)
    _prune(lambda: ConnectAttempt.objects.filter(expires_at__lt=timezone.now()).order_by("expires_at"))
    past = timezone.now() - 2 * timedelta(seconds=app_settings().circuit_window)
    _prune(lambda: ProviderFault.objects.filter(at__lt=past).order_by("at"))
    return _prune(lambda: CredentialEvent.objects.filter(created_at__lt=before).order_by("created_at"))


def _prune(old: Callable[[], QuerySet[Any]]) -> int:
    """Delete in batches, oldest first. Keys are fetched first: MariaDB allows no LIMIT within IN."""
    deleted = 0
    while pks := list(old().values_list("pk", flat=True)[:BATCH]):
        deleted += old().model._base_manager.filter(pk__in=pks).delete()[0]
    return deleted
