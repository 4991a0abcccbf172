"""How many refreshes the next hours bring, minute by minute, as things stand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Avg, Count, F, Q
from django.db.models.functions import TruncMinute
from django.utils import timezone

from mail_oauth.conf import app_settings
from mail_oauth.managers.keeping import warm
from mail_oauth.managers.queryset import REFRESHABLE
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.refresh.policy import mean_period

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """What falls due within one minute at one provider; overdue where `minute`, counted from the begin, is below 0.

    `warm` of them return when their next token ages; their tokens live `lifetime` seconds on an average.
    """

    provider: str
    minute: int
    number: int
    warm: int
    lifetime: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderForecast:
    """How many refreshes at one provider each minute brings; the first also what is overdue."""

    provider: str
    per_minute: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Peak:
    """The fullest minute: when it begins, and how many refreshes it brings."""

    at: datetime
    number: int

    @property
    def per_second(self) -> float:
        """How many of them the workers must finish each second to keep up."""
        return self.number / 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """The refreshes of the next hours by provider, from a whole minute on (UTC). `overdue`: of the first minute."""

    begins_at: datetime
    overdue: int
    providers: tuple[ProviderForecast, ...]

    @property
    def per_minute(self) -> tuple[int, ...]:
        """The refreshes at all providers."""
        return tuple(sum(numbers) for numbers in zip(*(each.per_minute for each in self.providers), strict=True))

    @property
    def peak(self) -> Peak | None:
        """The fullest minute, the first of several; None when nothing falls due."""
        numbers = self.per_minute
        number = max(numbers, default=0)
        return Peak(at=self.begins_at + numbers.index(number) * MINUTE, number=number) if number else None


def forecast(hours: float = 6) -> Forecast:
    """Count what falls due within so many hours, in one query, and what of it returns within them.

    It takes for granted that refreshes come in time and succeed, that tokens live as long as they do now, and that
    nobody connects a mailbox or asks for the token of an idle one.
    """
    now = timezone.now().astimezone(UTC)
    begins_at = now.replace(second=0, microsecond=0)
    minutes = max(round(hours * 60), 1)
    due = _due(now, begins_at, begins_at + minutes * MINUTE)
    aliases = sorted({each.provider for each in due})
    return Forecast(
        begins_at=begins_at,
        overdue=sum(each.number for each in due if each.minute < 0),
        providers=tuple(
            ProviderForecast(
                provider=alias, per_minute=project((each for each in due if each.provider == alias), minutes)
            )
            for alias in aliases
        ),
    )


def project(due: Iterable[Due], minutes: int) -> tuple[int, ...]:
    """Count the refreshes of each of so many minutes: what is due in it, and what returns after earlier ones.

    What is overdue comes at once, and returns at its own moments all the same (see `next_refresh`). What returns after
    a fraction of a minute more falls into two minutes. Tokens that are replaced more than once a minute are counted
    once: beat comes no more often.
    """
    numbers = [0.0] * (minutes + 1)
    for group in due:
        numbers[max(group.minute, 0)] += group.number
        period = max(mean_period(group.lifetime) / 60, 1.0)
        at = group.minute % period if group.minute < 0 else group.minute + period
        while at < minutes:
            numbers[int(at)] += group.warm * (1 - at % 1)
            numbers[int(at) + 1] += group.warm * (at % 1)
            at += period
    return tuple(round(number) for number in numbers[:minutes])


def _due(now: datetime, begins_at: datetime, until: datetime) -> list[Due]:
    """Count by provider and minute. Idle mailboxes do not return, nor those that cannot be refreshed at present."""
    returning = warm(now) & Q(status=Status.CONNECTED)
    rows = MailCredentials.objects.filter(refresh_at__lt=until, use_oauth=True, status__in=REFRESHABLE).order_by()
    life = F("token_expiry") - F("token_issued_at")
    groups = rows.values("provider", begin=TruncMinute("refresh_at", tzinfo=UTC)).annotate(
        number=Count("pk"),
        warm=Count("pk", filter=returning),
        life=Avg(life, filter=returning),
    )
    return [
        Due(
            provider=group["provider"],
            minute=(group["begin"] - begins_at) // MINUTE,
            number=group["number"],
            warm=group["warm"],
            lifetime=group["life"].total_seconds() if group["life"] else app_settings().default_expires_in,
        )
        for group in groups
    ]
