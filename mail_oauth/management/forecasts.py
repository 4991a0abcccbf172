"""A forecast for people: a table of quarter hours with a bar for each, and what the peak asks of the workers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from mail_oauth.conf import app_settings
from mail_oauth.management.tables import table
from mail_oauth.upkeep.forecast import Forecast, Peak

QUARTER = 15
_BAR = 40


def as_text(forecast: Forecast) -> str:
    """Return the table and the peak; times are in UTC."""
    numbers = forecast.per_minute
    quarters = [numbers[start : start + QUARTER] for start in range(0, len(numbers), QUARTER)]
    fullest = max((sum(quarter) for quarter in quarters), default=0)
    rows = []
    for number, quarter in enumerate(quarters):
        begins_at = forecast.begins_at + timedelta(minutes=number * QUARTER)
        bar = "#" * round(_BAR * sum(quarter) / max(fullest, 1))
        rows.append((f"{begins_at:%d %H:%M}", sum(quarter), max(quarter), bar))
    if forecast.peak is None:
        return "Nothing falls due."
    return "\n".join(
        (table(("from (UTC)", "refreshes", "most in a minute", ""), rows), *_words(forecast, forecast.peak))
    )


def as_data(forecast: Forecast) -> dict[str, Any]:
    """Return the same for programs, minute by minute."""
    peak = forecast.peak
    return {
        "begins_at": forecast.begins_at,
        "overdue": forecast.overdue,
        "peak": peak and {"at": peak.at, "number": peak.number, "per_second": peak.per_second},
        "per_minute": {each.provider: each.per_minute for each in forecast.providers},
    }


def _words(forecast: Forecast, peak: Peak) -> list[str]:
    settings = app_settings()
    at_once = settings.batch_tasks * settings.refresh_threads
    moment, rate, longest = f"{peak.at:%d %H:%M}", f"{peak.per_second:.1f}", f"{at_once / peak.per_second:.3g}"
    words = [
        f"The peak is {peak.number} in the minute from {moment}: {rate} refreshes a second.",
        f"BATCH_TASKS x REFRESH_THREADS, {at_once} at once, keep up if one takes {longest} s at the most.",
    ]
    if forecast.overdue:
        words.append(f"{forecast.overdue} are overdue, and stand in the first minute.")
    return words
