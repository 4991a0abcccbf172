"""Warning of grants that end soon, whether their providers say so or it is estimated."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import BooleanField, ExpressionWrapper, Q

from mail_oauth.conf import app_settings
from mail_oauth.managers.queryset import REFRESHABLE, MailCredentialsQuerySet
from mail_oauth.managers.transitions import Transitions
from mail_oauth.models import MailCredentials
from mail_oauth.refresh.policy import warns_at

logger = logging.getLogger(__name__)


def may_end_soon(now: datetime) -> ExpressionWrapper[Q]:
    """Return the expression that is true of all rows that `ending` may choose, and of few others."""
    latest = now + timedelta(days=app_settings().grant_warning_days)
    near = Q(refresh_token_expires_at__lte=latest, grant_warned_at__isnull=True, status__in=REFRESHABLE)
    return ExpressionWrapper(near, output_field=BooleanField())


def ending(rows: MailCredentialsQuerySet, pks: Sequence[str], now: datetime) -> list[MailCredentials]:
    """Return those mailboxes whose grants end soon, and of which nobody was told so far."""
    found = rows.filter(pk__in=pks, grant_warned_at__isnull=True).without_tokens()
    return [row for row in found if _ends_soon(row, now)]


def _ends_soon(row: MailCredentials, now: datetime) -> bool:
    ends_at = row.refresh_token_expires_at
    if ends_at is None or row.status not in REFRESHABLE:
        return False
    return now >= warns_at(row.connected_at, ends_at)


def warn(row: MailCredentials, transitions: Transitions, now: datetime) -> bool:
    """Send `grant_ending` for a mailbox; False when another worker has, or the grant has been renewed."""
    rows = transitions.manager.using(transitions.using)
    told = rows.filter(pk=row.pk, grant_warned_at__isnull=True)
    if not told.filter(refresh_token_expires_at=row.refresh_token_expires_at).update(grant_warned_at=now):
        return False
    about = {"action": "horizon", "mailbox": str(row.pk)}
    logger.warning("the grant of mailbox %s ends soon", row.pk, extra=about)
    transitions.announce_ending(rows.get(pk=row.pk))
    return True
