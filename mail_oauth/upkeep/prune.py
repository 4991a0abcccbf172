"""Pruning: history that is too old, and consents that were never finished."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from mail_oauth.conf import app_settings
from mail_oauth.managers.vocabulary import EventKind
from mail_oauth.models import (
    BulkItem,
    BulkJob,
    ConnectAttempt,
    ConnectPace,
    CredentialEvent,
    ErasedEvent,
    ErasedMailbox,
    ProviderFault,
    ReconnectLink,
    RefreshCount,
)
from mail_oauth.upkeep import pulse

BATCH = 1000
"""How many rows one statement deletes, so that none holds locks for long."""


def prune_events(days: float | None = None) -> int:
    """Delete events older than `days` (`EVENT_DAYS` by default), and whatever else has had its time.

    Routine refreshes are kept for `REFRESH_EVENT_DAYS` at the most, counts for `COUNT_DAYS`; expired consents,
    and faults and starts that count no more, go at once. Returns how many events.
    """
    settings, now = app_settings(), timezone.now()
    kept = settings.event_days if days is None else days
    _prune(ConnectAttempt.objects.filter(expires_at__lt=now), "expires_at")
    _prune(ConnectPace.objects.filter(free_at__lt=now - timedelta(hours=1)), "free_at")
    _prune(ProviderFault.objects.filter(at__lt=now - 2 * timedelta(seconds=settings.circuit_window)), "at")
    _prune(RefreshCount.objects.filter(begins_at__lt=now - timedelta(days=settings.count_days)), "begins_at")
    _prune(ReconnectLink.objects.filter(expires_at__lt=now), "expires_at")
    jobs = BulkJob.objects.filter(created_at__lt=now - timedelta(days=kept))
    _prune(BulkItem.objects.filter(job__in=jobs), "id")
    _prune(jobs, "created_at")
    _prune(ErasedEvent.objects.filter(happened_on__lt=(now - timedelta(days=kept)).date()), "happened_on")
    _prune(ErasedMailbox.objects.filter(met_on__lt=(now - timedelta(days=kept)).date()), "met_on")
    events = CredentialEvent.objects.filter(created_at__lt=now - timedelta(days=kept))
    routine_kept = timedelta(days=min(kept, settings.refresh_event_days))
    routine = CredentialEvent.objects.filter(
        created_at__lt=now - routine_kept, kind=EventKind.REFRESHED, reason=""
    )
    deleted = _prune(events, "created_at") + _prune(routine, "created_at")
    pulse.beat("prune_events")
    return deleted


def _prune(old: QuerySet[Any], when: str) -> int:
    """Delete in batches, oldest first, each from where the last one ended: what is kept is passed over once.

    Keys are fetched first: MariaDB allows no LIMIT within IN.
    """
    deleted, passed = 0, old
    while batch := list(passed.order_by(when).values_list("pk", when)[:BATCH]):
        deleted += old.model._base_manager.filter(pk__in=[pk for pk, _ in batch]).delete()[0]
        passed = old.filter(**{f"{when}__gte": batch[-1][1]})
    return deleted
