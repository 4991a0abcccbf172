"""Points in time, as people say them: "in 42 min", "12 min ago"."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils import dateformat, timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

DASH = "\N{EN DASH}"
"""What stands where there is nothing to show."""
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time with its distance in words; `at` is None where there is none."""

    at: datetime | None
    words: str


def moment(at: datetime | None, now: datetime) -> Moment:
    """Return `at` with its distance from `now`."""
    return Moment(at, distance(at, now))


def distance(at: datetime | None, now: datetime) -> str:
    """Say how far `at` lies ahead of or behind `now`; a dash for None."""
    if at is None:
        return DASH
    seconds = (at - now).total_seconds()
    if seconds >= 0:
        return _("in %(span)s") % {"span": span(seconds)}
    return _("%(span)s ago") % {"span": span(-seconds)}


def stamp(at: datetime) -> str:
    """Write a point in time to the second, in the current time zone; sorts as it reads in every language."""
    return dateformat.format(timezone.localtime(at), "Y-m-d H:i:s")


def span(seconds: float) -> str:
    """Say a duration in its largest fitting unit, rounded down so that no token seems to live longer."""
    if seconds < 2 * _MINUTE:
        return _("%(number)d s") % {"number": seconds}
    if seconds < 2 * _HOUR:
        return _("%(number)d min") % {"number": seconds // _MINUTE}
    if seconds < 2 * _DAY:
        return _("%(number)d h") % {"number": seconds // _HOUR}
    days = int(seconds // _DAY)
    return ngettext("%(number)d day", "%(number)d days", days) % {"number": days}
