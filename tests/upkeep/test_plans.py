"""What runs every minute reads an index, however many mailboxes there are (on PostgreSQL, by its own plan)."""

from __future__ import annotations

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail_oauth.managers.columns import token_changes
from mail_oauth.managers.groups import Save, Statements
from mail_oauth.managers.vocabulary import EventKind
from mail_oauth.models import CredentialEvent, MailCredentials
from mail_oauth.tokens import Secret, TokenSet
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
                refresh_at=now + timedelta(minutes=number if number >= 40 else number - 40),
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


def test_saving_a_group(populated):
    """However small the table is, for of twelve rows PostgreSQL knows that they are no more."""
    claims = MailCredentials.objects.claim_due(12)
    tokens = TokenSet(access_token=Secret("access"), expires_in=3600)
    saves = [Save(row, token_changes(row, tokens), EventKind.REFRESHED, "", tokens) for row in claims]
    with CaptureQueriesContext(connection) as queries:
        assert len(Statements(MailCredentials, "default").save(saves)) == 12
    [plan] = plans(queries)
    assert "Seq Scan" not in plan
    assert "mail_oauth_mailcredentials_pkey" in plan
    assert re.search(r"Limit +\(cost=\S+ rows=12 ", plan)


def test_releasing_dead_leases(populated):
    with CaptureQueriesContext(connection) as queries:
        MailCredentials.objects.release_dead_leases()
    assert "mail_oauth_due" in plans(queries)[0]


def test_deleting_a_user(populated, django_user_model):
    """The keys have no index of their own: the one of the constraint, and the history's, begin with their columns."""
    leaver = django_user_model.objects.create_user("leaver")
    for number in range(3):
        row = MailCredentials.objects.create(user=leaver, provider="google", email=f"{number}@example.org")
        CredentialEvent.objects.create(credentials=row)
    with CaptureQueriesContext(connection) as queries:
        leaver.delete()
    read = "\n".join(plans(queries))
    assert "Seq Scan on mail_oauth_mailcredentials" not in read
    assert "Seq Scan on mail_oauth_credentialevent" not in read
    assert "mail_oauth_one_row_per_mailbox" in read
    assert "mail_oauth_event_history" in read


def test_what_postgresql_asks_before_a_mailbox_is_gone(populated):
    with connection.cursor() as cursor:
        cursor.execute(
            "EXPLAIN SELECT 1 FROM ONLY mail_oauth_credentialevent x "
            "WHERE %s OPERATOR(pg_catalog.=) credentials_id FOR KEY SHARE OF x",
            [uuid4()],
        )
        assert "mail_oauth_event_history" in "\n".join(line for (line,) in cursor.fetchall())


def test_pruning(populated):
    with CaptureQueriesContext(connection) as queries:
        prune_events(days=13)
    first, *_ = [plan for plan in plans(queries) if "mail_oauth_credentialevent" in plan]
    assert "mail_oauth_event_age" in first
    assert "Seq Scan" not in first
