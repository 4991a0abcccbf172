"""Everything about the mailboxes that must be counted row by row, so that pages need not.

A table that is small is counted whenever somebody looks; of a large one beat keeps the last count.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from mail_oauth.conf import app_settings
from mail_oauth.encryption import keyring
from mail_oauth.managers.queryset import MailCredentialsQuerySet
from mail_oauth.managers.vocabulary import Status
from mail_oauth.metrics import MAILBOXES, OVERDUE
from mail_oauth.models import MailCredentials, UpkeepReport
from mail_oauth.upkeep import pulse
from mail_oauth.upkeep.columns import OTHER, PLAIN, SealedColumn
from mail_oauth.upkeep.forecast import MINUTE, Forecast, forecast
from mail_oauth.upkeep.keys import Role
from mail_oauth.upkeep.status import GroupStatus, StatusReport, status_report

logger = logging.getLogger(__name__)

NAME = "survey"
"""Of the report that is kept."""

COUNTED_AT_ONCE = 10_000
"""A table with no more mailboxes is counted in some hundredths of a second."""

HOURS = 6.0
"""How far ahead refreshes are foreseen."""

STEP = timedelta(minutes=15)
"""The stretches in which they are counted."""

KEYS_KEPT = timedelta(hours=1)
"""For how long a survey takes over the count of keys from the one before: PostgreSQL reads every token for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ahead:
    """The refreshes of the next hours by stretches of `STEP`, and the fullest minute (None when nothing falls due)."""

    begins_at: datetime
    steps: tuple[int, ...]
    overdue: int
    peak_at: datetime | None
    peak: int


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyCount:
    """How many refresh tokens are under one key, by its fingerprint; `role` is a `Role`."""

    key: str
    role: str
    values: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """What was counted at `taken_at`, within so many `seconds`; the keys at `keys_at`."""

    taken_at: datetime
    seconds: float
    status: StatusReport
    ahead: Ahead
    keys: tuple[KeyCount, ...]
    keys_at: datetime

    def content(self) -> dict[str, Any]:
        """Return it as it is kept."""
        return asdict(self)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Survey | None:
        """Read what was kept; None for what another release wrote otherwise."""
        try:
            return cls(
                taken_at=_moment(content["taken_at"]),
                seconds=float(content["seconds"]),
                status=StatusReport(groups=tuple(_group(each) for each in content["status"]["groups"])),
                ahead=_ahead(content["ahead"]),
                keys=tuple(KeyCount(**each) for each in content["keys"]),
                keys_at=_moment(content["keys_at"]),
            )
        except (KeyError, TypeError, ValueError):
            return None


def take_survey(*, keys: bool = True) -> Survey:
    """Count, and keep what was counted. Some seconds for a million mailboxes, in a handful of queries.

    Without `keys`, which take the longest, for whoever waits for it: they stay as they were counted before, if ever.
    """
    reports = UpkeepReport.objects.using(MailCredentials.objects.write_alias())
    survey = count(_read(reports.named([NAME]).get(NAME)), keys=keys)
    reports.keep(NAME, survey.content(), survey.taken_at)
    pulse.beat("take_survey")
    _measure(survey.status)
    about = {"action": "survey", "mailboxes": survey.status.mailboxes, "seconds": survey.seconds}
    logger.info("%d mailboxes were counted", survey.status.mailboxes, extra=about)
    return survey


def _measure(status: StatusReport) -> None:
    """Tell whoever collects metrics; of what there is no more, too, for a gauge keeps what it was set."""
    aliases = dict.fromkeys([*app_settings().providers, *(group.provider for group in status.groups)])
    numbers = {(group.provider, group.status): group for group in status.groups}
    for alias in aliases:
        groups = {value: numbers.get((alias, value)) for value in Status.values}
        for value, group in groups.items():
            MAILBOXES.set(group.mailboxes if group else 0, provider=alias, status=value)
        OVERDUE.set(sum(group.overdue for group in groups.values() if group), provider=alias)


def survey(kept: UpkeepReport | None, *, live: bool) -> Survey | None:
    """Return how the mailboxes are: counted now with `live`, else as it was `kept` last, if ever."""
    return count() if live else _read(kept)


def is_small() -> bool:
    """Tell whether the table is counted whenever somebody looks; costs a look at `COUNTED_AT_ONCE` keys."""
    rows: MailCredentialsQuerySet = MailCredentials.objects.order_by()
    return rows[: COUNTED_AT_ONCE + 1].count() <= COUNTED_AT_ONCE


def count(before: Survey | None = None, *, keys: bool = True) -> Survey:
    """Count everything as it is now, but for keys that were counted `before`, within the hour, or without `keys` ever."""
    begun, now = time.monotonic(), timezone.now()
    status, ahead = status_report(), _in_steps(forecast(HOURS))
    due = now - KEYS_KEPT
    counted, keys_at = (before.keys, before.keys_at) if before is not None else ((), due)
    if keys and keys_at <= due:
        counted, keys_at = _keys(), now
    seconds = round(time.monotonic() - begun, 3)
    return Survey(taken_at=now, seconds=seconds, status=status, ahead=ahead, keys=counted, keys_at=keys_at)


def _read(kept: UpkeepReport | None) -> Survey | None:
    return None if kept is None else Survey.of(kept.content)


def _in_steps(found: Forecast) -> Ahead:
    numbers, size = found.per_minute, STEP // MINUTE
    starts = range(0, round(HOURS * 60), size)
    return Ahead(
        begins_at=found.begins_at,
        steps=tuple(sum(numbers[start : start + size]) for start in starts),
        overdue=found.overdue,
        peak_at=found.peak.at if found.peak else None,
        peak=found.peak.number if found.peak else 0,
    )


def _keys() -> tuple[KeyCount, ...]:
    """Count refresh tokens by what they show of their key in clear. Raises `ConfigurationError` without any key."""
    column = SealedColumn(MailCredentials, "refresh_token", MailCredentials.objects.write_alias())
    counted, ring = column.count_by_key(), [key.fingerprint for key in keyring().keys]
    roles = dict.fromkeys(ring, Role.OPENS) | {ring[0]: Role.SEALS, PLAIN: Role.PLAIN, OTHER: Role.OTHER}
    return tuple(
        KeyCount(key=key, role=roles.get(key, Role.MISSING).value, values=counted.get(key, 0))
        for key in [*ring, *sorted(counted.keys() - set(ring))]
    )


def _moment(text: str | datetime) -> datetime:
    return text if isinstance(text, datetime) else datetime.fromisoformat(text)


def _maybe(text: str | datetime | None) -> datetime | None:
    return None if text is None else _moment(text)


def _group(content: Mapping[str, Any]) -> GroupStatus:
    times = {name: _maybe(content[name]) for name in ("oldest_due", "soonest_expiry")}
    return GroupStatus(**{**content, **times})


def _ahead(content: Mapping[str, Any]) -> Ahead:
    times = {"begins_at": _moment(content["begins_at"]), "peak_at": _maybe(content["peak_at"])}
    return Ahead(**{**content, **times, "steps": tuple(content["steps"])})
