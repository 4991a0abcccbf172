"""The life of a mailbox as a picture: where each moment lies on it. The template draws, and lists the same in words.

Grants live for months and tokens for an hour: the further from now, the closer together moments lie, by the logarithm
of their distance, so that both are seen in one picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from mail_oauth.admin.moments import Moment, moment
from mail_oauth.admin.notices import Level
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import CredentialEvent, MailCredentials

LEFT, RIGHT, NOW = 112, 704, 350
"""From where to where the axis goes, and where it is now, in the picture's own units."""

_NEAR = timedelta(minutes=3)
"""What is nearer than this lies about as it would on an even scale."""

_LEAST = timedelta(minutes=30)
_TICKS = (
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=6),
    timedelta(days=1),
    timedelta(days=7),
    timedelta(days=30),
    timedelta(days=90),
    timedelta(days=365),
)
_MINUS = "\N{MINUS SIGN}"
_APART = 40
"""So far apart the words under the axis are, at the least."""

_BAD = frozenset(
    {
        EventKind.REFRESH_FAILED,
        EventKind.NEEDS_REAUTH,
        EventKind.NEEDS_ADMIN,
        EventKind.NEEDS_ATTENTION,
        EventKind.UNREADABLE,
        EventKind.VALUE_REFUSED,
        EventKind.REVOCATION_FAILED,
    }
)
_GOOD = frozenset({EventKind.CONNECTED, EventKind.RECONNECTED, EventKind.REFRESHED, EventKind.RECOVERED})


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """A stretch of time: of the grant, or of the access token. `words` say what it is."""

    name: str
    x: float
    width: float
    words: str
    level: Level


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A moment. `lane` is where it is drawn: ``"grant"``, ``"token"`` or ``"events"``."""

    lane: str
    x: float
    words: str
    moment: Moment
    level: Level


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """A line across the picture with the distance from now beneath it."""

    x: float
    words: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """What is drawn. `marks` come in the order of their moments, so that they can be read as a list as well."""

    bars: list[Bar]
    marks: list[Mark]
    ticks: list[Tick]
    summary: str
    left: int = LEFT
    now: int = NOW
    right: int = RIGHT


@dataclass(frozen=True, slots=True)
class _Scale:
    now: datetime
    back: timedelta
    ahead: timedelta

    def x(self, at: datetime) -> float:
        """Return where a moment lies, within the axis."""
        away = at - self.now
        reach, width = (self.ahead, RIGHT - NOW) if away > timedelta() else (self.back, NOW - LEFT)
        share = math.log1p(abs(away) / _NEAR) / math.log1p(reach / _NEAR)
        return round(NOW + math.copysign(min(share, 1.0) * width, away.total_seconds()), 1)


def timeline(row: MailCredentials, events: Iterable[CredentialEvent], now: datetime) -> Timeline:
    """Lay out a mailbox's life: its grant, its access token, and what has happened and will."""
    marks = [*_of_row(row), *(_of_event(event) for event in events)]
    known = [(lane, at, words, level) for lane, at, words, level in marks if at is not None]
    known.sort(key=lambda mark: mark[1])
    moments = [at for _lane, at, _words, _level in known]
    scale = _Scale(now, _reach(now - at for at in moments), _reach(at - now for at in moments))
    return Timeline(
        bars=_bars(row, scale),
        marks=[
            Mark(lane=lane, x=scale.x(at), words=words, moment=moment(at, now), level=level)
            for lane, at, words, level in known
        ],
        ticks=_ticks(scale),
        summary=_summary(row, now),
    )


_Found = tuple[str, datetime | None, str, Level]


def _of_row(row: MailCredentials) -> list[_Found]:
    gone = row.status == Status.DISCONNECTED
    planned = None if gone or row.lease_owner else row.refresh_at
    ending = _("grant ends (estimated)") if row.grant_end_estimated else pgettext("event", "grant ends")
    return [
        ("grant", row.connected_at, pgettext("event", "connected"), Level.GOOD),
        ("grant", None if gone else row.refresh_token_expires_at, ending, Level.WAIT),
        ("token", row.token_issued_at, _("access token issued"), Level.GOOD),
        ("token", planned, pgettext("event", "next refresh"), Level.GOOD),
        ("token", row.token_expiry, _("access token expires"), Level.WAIT),
        ("events", row.last_used_at, pgettext("event", "last used"), Level.OFF),
    ]


def _of_event(event: CredentialEvent) -> _Found:
    level = Level.OFF
    if event.kind in _BAD:
        level = Level.BAD
    elif event.kind in _GOOD:
        level = Level.GOOD
    words = str(event.get_kind_display())
    if event.reason:
        words = _("%(event)s (%(reason)s)") % {"event": words, "reason": event.reason}
    return ("events", event.created_at, words, level)


def _reach(distances: Iterable[timedelta]) -> timedelta:
    return max([_LEAST, *distances])


def _bars(row: MailCredentials, scale: _Scale) -> list[Bar]:
    bars = []
    if row.status != Status.DISCONNECTED:
        end = row.refresh_token_expires_at
        words = _("The grant, whose end nobody has named.") if end is None else _("The grant.")
        level = Level.BAD if row.status == Status.NEEDS_REAUTH else Level.GOOD
        bars.append(_bar("grant", row.connected_at, end or scale.now + scale.ahead, words, level, scale))
    if row.token_issued_at is not None and row.token_expiry is not None:
        alive = row.token_expiry > scale.now
        words = _("The access token is valid.") if alive else _("The access token has expired.")
        level = Level.GOOD if alive else Level.OFF
        bars.append(_bar("token", row.token_issued_at, row.token_expiry, words, level, scale))
    return bars


def _bar(name: str, begin: datetime, end: datetime, words: str, level: Level, scale: _Scale) -> Bar:
    left, right = scale.x(begin), scale.x(max(begin, end))
    return Bar(name=name, x=left, width=round(max(right - left, 2), 1), words=words, level=level)


def _ticks(scale: _Scale) -> list[Tick]:
    past = [(scale.x(scale.now - away), f"{_MINUS}{_short(away)}") for away in _TICKS if away <= scale.back]
    future = [(scale.x(scale.now + away), f"+{_short(away)}") for away in _TICKS if away <= scale.ahead]
    return [Tick(x=x, words=words) for side in (past, future) for x, words in _apart(side)]


def _apart(side: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Leave out those that would stand on each other, and on “now”."""
    kept: list[tuple[float, str]] = []
    for x, words in side:
        if abs(x - (kept[-1][0] if kept else NOW)) >= _APART:
            kept.append((x, words))
    return kept


def _short(away: timedelta) -> str:
    if away < timedelta(hours=1):
        return _("%(number)d min") % {"number": away // timedelta(minutes=1)}
    if away < timedelta(days=1):
        return _("%(number)d h") % {"number": away // timedelta(hours=1)}
    return _("%(number)d d") % {"number": away.days}


def _summary(row: MailCredentials, now: datetime) -> str:
    words = _("Connected: %(since)s. End of the access token: %(expiry)s. End of the grant: %(end)s.")
    return words % {
        "since": moment(row.connected_at, now).words,
        "expiry": moment(row.token_expiry, now).words,
        "end": moment(row.refresh_token_expires_at, now).words,
    }
