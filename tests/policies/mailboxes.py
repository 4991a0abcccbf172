"""A mailbox as it is by now, and how long the sweep leaves it alone."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from mail_oauth.models import MailCredentials
from tests.mailboxes import stored

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def waits(mailbox: MailCredentials) -> timedelta:
    return stored(mailbox).refresh_at - timezone.now()
