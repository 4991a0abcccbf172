"""Which charts the dashboard has, from the numbers of an overview."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.utils import dateformat, timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from mail_oauth.admin.dashboard.charts import Chart, Series, spread_ticks
from mail_oauth.admin.dashboard.findings import figure
from mail_oauth.admin.reports import sentences
from mail_oauth.managers.vocabulary import CountedOutcome
from mail_oauth.upkeep.overview import DAYS, Overview
from mail_oauth.upkeep.survey import STEP, Ahead

TICKS = 5
"""So many labels fit under a chart on a phone."""

HOUR = timedelta(hours=1)
_HOUR_OF_DAY, _HOUR_OF_WEEK = "H:i", "D j, H:i"


def charts(seen: Overview) -> list[Chart]:
    """Return the calls of a day and of a week, and the refreshes that are foreseen, if they are."""
    drawn = [_calls_of_day(seen), _calls_of_week(seen)]
    return [*drawn, _foreseen(seen.survey.ahead)] if seen.survey is not None else drawn


def _calls_of_day(seen: Overview) -> Chart:
    return _calls(seen, "day", _("Refreshes per hour, the last 24 hours"), 24, _HOUR_OF_DAY)


def _calls_of_week(seen: Overview) -> Chart:
    return _calls(seen, "week", _("Refreshes per hour, the last 7 days"), DAYS * 24, _HOUR_OF_WEEK)


def _calls(seen: Overview, key: str, title: str, number: int, label: str) -> Chart:
    this_hour = seen.now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    hours = [this_hour - back * HOUR for back in reversed(range(number))]
    every = [
        Series(
            str(outcome.label), outcome.value, tuple(seen.hours.get((hour, outcome.value), 0) for hour in hours)
        )
        for outcome in CountedOutcome
    ]
    series = tuple(each for each in every if each.total or each.style == CountedOutcome.GRANTED)
    totals = pgettext("between the members of a list", ", ").join(
        _("%(outcome)s: %(number)s") % {"outcome": each.name, "number": figure(each.total)} for each in series
    )
    return Chart(
        key=key,
        title=title,
        description=_("Calls of providers by outcome. In all: %(totals)s.") % {"totals": totals},
        unit=_("an hour"),
        labels=_labels(hours, label),
        ticks=spread_ticks(_labels(hours, label), TICKS),
        series=series,
    )


def _foreseen(ahead: Ahead) -> Chart:
    moments = [ahead.begins_at + place * STEP for place in range(len(ahead.steps))]
    labels = _labels(moments, _HOUR_OF_DAY)
    return Chart(
        key="ahead",
        title=_("Refreshes that the next hours bring"),
        description=_peak(ahead),
        unit=_("a quarter of an hour"),
        labels=labels,
        ticks=spread_ticks(labels, TICKS),
        series=(Series(pgettext("what is counted", "refreshes"), "ahead", ahead.steps),),
    )


def _peak(ahead: Ahead) -> str:
    if ahead.peak_at is None:
        return _("Nothing falls due.")
    words = ngettext(
        "The fullest minute begins at %(when)s, with %(number)s refresh.",
        "The fullest minute begins at %(when)s, with %(number)s refreshes: %(rate).1f a second.",
        ahead.peak,
    ) % {
        "when": _labels([ahead.peak_at], _HOUR_OF_DAY)[0],
        "number": figure(ahead.peak),
        "rate": ahead.peak / 60,
    }
    if not ahead.overdue:
        return words
    overdue = ngettext("%(number)s of them is overdue.", "%(number)s of them are overdue.", ahead.overdue)
    return sentences([words, overdue % {"number": figure(ahead.overdue)}])


def _labels(moments: Sequence[datetime], how: str) -> tuple[str, ...]:
    return tuple(dateformat.format(timezone.localtime(moment), how) for moment in moments)
