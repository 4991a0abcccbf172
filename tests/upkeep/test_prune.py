"""History that is too old goes away, in small steps, and nothing else does."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from mail_oauth.managers.vocabulary import EventKind
from mail_oauth.models import ConnectAttempt, ConnectPace, CredentialEvent, MailCredentials, RefreshCount
from mail_oauth.upkeep import prune
from mail_oauth.upkeep.prune import prune_events

pytestmark = pytest.mark.django_db


@pytest.fixture
def history(user):
    """Makes so many events of one mailbox, so many days old."""
    row = MailCredentials.objects.create(user=user, provider="microsoft", email="ada@example.com")

    def make(number: int, *, days: float, kind: EventKind = EventKind.REFRESH_FAILED, reason: str = "") -> None:
        when = timezone.now() - timedelta(days=days)
        event = {"credentials": row, "kind": kind, "reason": reason, "created_at": when}
        CredentialEvent.objects.bulk_create([CredentialEvent(**event) for _ in range(number)], batch_size=500)

    return make


def test_events_are_kept_as_long_as_the_settings_say(history, settings):
    settings.MAIL_OAUTH = {"EVENT_DAYS": 30}
    history(3, days=31)
    history(2, days=29)
    assert prune_events() == 3
    assert CredentialEvent.objects.count() == 2


def test_routine_refreshes_go_earlier(history):
    history(3, days=8, kind=EventKind.REFRESHED)
    history(1, days=8, kind=EventKind.REFRESHED, reason="adopted")
    history(1, days=8, kind=EventKind.RECOVERED)
    history(2, days=6, kind=EventKind.REFRESHED)
    assert prune_events() == 3
    assert CredentialEvent.objects.count() == 4


def test_counts_are_kept_as_long_as_the_settings_say():
    for days in (89, 91):
        RefreshCount.objects.create(begins_at=timezone.now() - timedelta(days=days), provider="a", outcome="retry")
    prune_events()
    assert RefreshCount.objects.get().begins_at > timezone.now() - timedelta(days=90)


def test_or_as_long_as_the_caller_says(history):
    history(3, days=2)
    assert prune_events(days=1) == 3


def test_many_are_deleted_batch_by_batch(history, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(prune, "BATCH", 100)
    history(250, days=400)
    with django_assert_num_queries(
        9 + 3 * 2 + 2
    ):  # consents, paces, faults, counts, links, jobs and their mailboxes, what of the erased stays; each batch; the ends
        assert prune_events() == 250


def test_mailboxes_stay(history):
    history(1, days=400)
    prune_events()
    assert MailCredentials.objects.count() == 1


def test_consents_that_were_never_finished_go_when_they_expired(user):
    for minutes in (-5, 5):
        ConnectAttempt.objects.create(
            state_digest=uuid4().hex,
            binding_digest="",
            user=user,
            provider="microsoft",
            redirect_uri="https://example.com/",
            expires_at=timezone.now() + timedelta(minutes=minutes),
        )
    assert prune_events() == 0
    assert ConnectAttempt.objects.get().expires_at > timezone.now()


def test_who_begins_no_more_is_forgotten(user):
    """An empty bucket is the same as none."""
    ConnectPace.objects.create(user=user, free_at=timezone.now() - timedelta(minutes=1))
    prune_events()
    assert ConnectPace.objects.exists(), "clocks may differ"
    ConnectPace.objects.update(free_at=timezone.now() - timedelta(hours=2))
    prune_events()
    assert not ConnectPace.objects.exists()
