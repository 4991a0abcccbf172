"""An operator sees at a glance whether upkeep keeps up."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.upkeep.status import StatusReport, status_report

pytestmark = pytest.mark.django_db


def test_without_mailboxes():
    report = status_report()
    assert report == StatusReport(groups=())
    assert (report.mailboxes, report.overdue, report.oldest_due, report.soonest_expiry) == (0, 0, None, None)


def test_mailboxes_by_provider_and_status_in_one_query(connect, django_assert_num_queries):
    fine, soon, overdue, dead = connect(), connect(), connect("google"), connect("google")
    now = timezone.now()
    rows = MailCredentials.objects
    rows.filter(pk=fine.pk).update(refresh_at=now + timedelta(minutes=50))
    rows.filter(pk=soon.pk).update(refresh_at=now - timedelta(minutes=1), token_expiry=now + timedelta(minutes=4))
    rows.filter(pk=overdue.pk).update(refresh_at=now - timedelta(minutes=9))
    rows.filter(pk=dead.pk).update(status=Status.NEEDS_REAUTH, refresh_at=None, token_expiry=now)
    with django_assert_num_queries(1):
        report = status_report()
    assert [(group.provider, group.status, group.mailboxes, group.overdue) for group in report.groups] == [
        ("google", "connected", 1, 1),
        ("google", "needs_reauth", 1, 0),
        ("microsoft", "connected", 2, 0),
    ]
    assert (report.mailboxes, report.overdue) == (4, 1)
    assert report.oldest_due == now - timedelta(minutes=9)
    assert report.soonest_expiry == now + timedelta(minutes=4), "a dead grant's token counts for nothing"
