"""What is looked for each minute reads an index, however many were told before (on PostgreSQL, by its own plan)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail_oauth.models import Episode, MailCredentials, Notice
from mail_oauth.notices.run import send_notices
from tests.upkeep.test_plans import plans

pytestmark = pytest.mark.django_db

TOLD = 20_000


@pytest.fixture
def told(django_user_model):
    """So many users who were told of a mailbox that they have not mended yet."""
    if connection.vendor != "postgresql":
        pytest.skip("reads PostgreSQL's plans: python -m tests.services postgres -- pytest tests/notifications")
    now = timezone.now()
    users = django_user_model.objects.bulk_create(
        [django_user_model(username=f"p{n}", email=f"p{n}@home.example") for n in range(TOLD)]
    )
    rows = MailCredentials.objects.bulk_create(
        [
            MailCredentials(user=user, provider="microsoft", email=f"{user.pk}@example.com", status="needs_reauth")
            for user in users
        ],
        batch_size=2000,
    )
    Episode.objects.bulk_create(
        [Episode(credentials=row, need="needs_reauth", told_at=now, reported_at=now) for row in rows],
        batch_size=2000,
    )
    Notice.objects.bulk_create([Notice(recipient=f"user:{user.pk}", user=user) for user in users], batch_size=2000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return rows


@pytest.mark.parametrize("one_is_due", [False, True])
def test_no_table_is_read_whole(notify, told, one_is_due, mailoutbox):
    notify("all", NOTIFY_OPERATORS=["ops@site.example"])
    if one_is_due:
        Episode.objects.filter(pk=told[5].pk).update(told_at=None, began_at=timezone.now() - timedelta(hours=1))
        Notice.objects.filter(user=told[5].user).update(due_at=timezone.now())
    with CaptureQueriesContext(connection) as queries:
        assert send_notices().mailed == one_is_due
    for plan in plans(queries):
        for table in ("mailcredentials", "episode", "notice"):
            assert f"Seq Scan on mail_oauth_{table}" not in plan
