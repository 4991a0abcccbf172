"""What runs every minute reads an index, however many mailboxes there are (on PostgreSQL, by its own plan)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail_oauth.managers.health import board
from mail_oauth.managers.transitions import Transitions
from mail_oauth.models import CredentialEvent, MailCredentials, ProviderHealth
from mail_oauth.refresh.classification import Trouble
from mail_oauth.upkeep.claiming import Claimer
from mail_oauth.upkeep.prune import prune_events
from mail_oauth.upkeep.sweep import batches_wanted

pytestmark = pytest.mark.django_db

MAILBOXES = 20_000


@pytest.fixture
def populated(user):
    """Twenty thousand mailboxes, of which forty are due, and as many events."""
    if connection.vendor != "postgresql":
        pytest.skip("reads PostgreSQL's plans: python -m tests.services postgres -- pytest tests/upkeep")
    now = timezone.now()
    MailCredentials.objects.bulk_create(
        [
            MailCredentials(
                user=user,
                provider="microsoft",
                email=f"{number}@example.com",
                refresh_at=now + timedelta(minutes=number - 39.5),
            )
            for number in range(MAILBOXES)
        ],
        batch_size=2000,
    )
    row = MailCredentials.objects.first()
    CredentialEvent.objects.bulk_create(
        [CredentialEvent(credentials=row, created_at=now - timedelta(minutes=n)) for n in range(MAILBOXES)],
        batch_size=2000,
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def plans(queries: CaptureQueriesContext) -> list[str]:
    """The plan of each statement, as PostgreSQL would run it again."""
    found = []
    with connection.cursor() as cursor:
        for query in queries.captured_queries:
            if query["sql"].startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
                cursor.execute(f"EXPLAIN {query['sql']}")
                found.append("\n".join(line for (line,) in cursor.fetchall()))
    assert found
    return found


def test_counting_and_claiming_what_is_due(populated):
    with CaptureQueriesContext(connection) as queries:
        assert batches_wanted() == 1
        assert len(MailCredentials.objects.claim_due(100)) == 40
    for plan in plans(queries):
        assert "Seq Scan" not in plan
        assert "mail_oauth_due" in plan or "mail_oauth_mailcredentials_pkey" in plan
    assert sum("mail_oauth_due" in plan for plan in plans(queries)) >= 2


def test_claiming_past_an_app_that_is_held_reads_nothing_of_its_backlog(populated, settings):
    """Neither does keeping to a budget: both look for what no condition on one provider finds."""
    MailCredentials.objects.update(refresh_at=timezone.now())
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    client = {"CLIENT_ID": "x", "CLIENT_SECRET": "x"}
    providers = {"microsoft": client, "google": {**client, "CALLS_PER_SECOND": 10}}
    settings.MAIL_OAUTH = {"PROVIDERS": providers}
    ProviderHealth.objects.hold("microsoft", "", Trouble.OUTAGE, reason="http_503", seconds=60)
    board.forget()
    claimer = Claimer(MailCredentials.objects.all(), Transitions(MailCredentials.objects).lanes, patience=30)
    with CaptureQueriesContext(connection) as queries:
        assert claimer.claim(100) == []
    for plan in plans(queries):
        assert "Seq Scan on mail_oauth_mailcredentials" not in plan


def test_releasing_dead_leases(populated):
    with CaptureQueriesContext(connection) as queries:
        MailCredentials.objects.release_dead_leases()
    assert "mail_oauth_due" in plans(queries)[0]


def test_pruning(populated):
    with CaptureQueriesContext(connection) as queries:
        prune_events(days=13)
    first, *_ = [plan for plan in plans(queries) if "mail_oauth_credentialevent" in plan]
    assert "mail_oauth_event_age" in first
    assert "Seq Scan" not in first
