"""How the mailboxes are, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Min, Q
from django.utils import timezone

from mail_oauth.conf import app_settings
from mail_oauth.managers.keeping import warm
from mail_oauth.managers.queryset import REFRESHABLE
from mail_oauth.managers.vocabulary import Access, Status
from mail_oauth.models import MailCredentials

LATE = timedelta(minutes=5)
"""How long a mailbox may be due before it counts as overdue: beat or the workers may have stopped."""


def ends_within(now: datetime, days: float) -> Q:
    """Return the condition for mailboxes in use whose grants end, or have ended, within so many days."""
    return Q(refresh_token_expires_at__lte=now + timedelta(days=days), status__in=REFRESHABLE, use_oauth=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupStatus:
    """Mailboxes of one provider in one state. Times are aware, in UTC; None where there is none.

    `idle` ones are refreshed when their token is asked for, so that it may have expired. `overdue` are those that
    should have been refreshed five minutes ago, `oldest_due` is the longest due. `soonest_expiry` is that of the tokens
    that are kept valid. `failing`: the last refresh failed. `switched_off`: `use_oauth` is off. `ending`: the grant ends
    within `GRANT_WARNING_DAYS`.
    """

    provider: str
    status: str
    mailboxes: int
    idle: int
    overdue: int
    failing: int
    switched_off: int
    ending: int
    oldest_due: datetime | None
    soonest_expiry: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class StatusReport:
    """The groups, and what they add up to."""

    groups: tuple[GroupStatus, ...]

    @property
    def mailboxes(self) -> int:
        """How many mailboxes there are, disconnected ones included."""
        return sum(group.mailboxes for group in self.groups)

    @property
    def idle(self) -> int:
        """How many are refreshed only when their token is asked for, and to keep their grants alive."""
        return sum(group.idle for group in self.groups)

    @property
    def overdue(self) -> int:
        """How many should have been refreshed five minutes ago."""
        return sum(group.overdue for group in self.groups)

    @property
    def oldest_due(self) -> datetime | None:
        """Since when the longest due mailbox waits; None when nothing is due."""
        return min((group.oldest_due for group in self.groups if group.oldest_due), default=None)

    @property
    def soonest_expiry(self) -> datetime | None:
        """When the next token expires of those that are kept valid."""
        return min((group.soonest_expiry for group in self.groups if group.soonest_expiry), default=None)


def status_report() -> StatusReport:
    """Count mailboxes by provider and status, in one query; the app's own access is none."""
    now = timezone.now()
    in_use, kept = Q(status=Status.CONNECTED, use_oauth=True), warm(now)
    groups = (
        MailCredentials.objects.exclude(access=Access.APP)
        .order_by("provider", "status")
        .values("provider", "status")
        .annotate(
            mailboxes=Count("pk"),
            idle=Count("pk", filter=in_use & ~kept & ~Q(access=Access.SHARED)),
            overdue=Count("pk", filter=Q(refresh_at__lt=now - LATE)),
            failing=Count("pk", filter=in_use & Q(refresh_failures__gt=0)),
            switched_off=Count("pk", filter=Q(use_oauth=False) & ~Q(status=Status.DISCONNECTED)),
            ending=Count("pk", filter=ends_within(now, app_settings().grant_warning_days)),
            oldest_due=Min("refresh_at", filter=Q(refresh_at__lte=now)),
            soonest_expiry=Min("token_expiry", filter=in_use & kept),
        )
    )
    return StatusReport(groups=tuple(GroupStatus(**group) for group in groups))
