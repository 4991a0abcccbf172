"""What a simulated day says: a table by hours, and whether it has a herd in it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from benchmarks.simulation.record import Record
from benchmarks.simulation.scenario import HOUR, mean_period

TEN_MINUTES = 600
HOURS_WITHIN = 0.05
"""How far the mean of an hour after the recovery may lie from that before the outage."""
TEN_MINUTES_WITHIN = 1 / 3
"""How far that of ten minutes may: where an hour is even, this shows the waves in it.

To both comes what chance does to a sample: three standard deviations of the number of simulated calls.
"""

HEAD = (
    "| hour | calls/s | busiest minute | busiest second | due | longest due | expired | for callers | refused | postponed |\n"
    "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One condition of "no herd", and what the day says to it."""

    holds: bool
    text: str

    def __str__(self) -> str:
        return f"{'yes' if self.holds else 'NO '}  {self.text}"


def table(record: Record, hours: Iterable[int] | None = None) -> str:
    """One row for each hour, in real mailboxes; calls for callers, refused callers and postponements per second."""
    chosen = range(record.scenario.hours) if hours is None else hours
    return "\n".join([HEAD, *(_row(record, hour) for hour in chosen)])


def _row(record: Record, hour: int) -> str:
    begin, end = hour * HOUR, (hour + 1) * HOUR
    weight, simulated = record.scenario.weight, record.scenario.simulated
    busiest = [max(record.loads(seconds, begin=begin, end=end)) for seconds in (60, 1)]
    cells = [
        f"{hour:02}",
        *(f"{calls:,.0f}" for calls in (record.mean(begin, end), *busiest)),
        f"{max(record.backlog[begin:end]) * weight:,.0f}",
        f"{max(record.oldest[begin:end])} s",
        f"{max(record.expired[begin:end]) / simulated:.1%}",
        *(
            f"{sum(counts[begin:end]) * weight / HOUR:,.0f}"
            for counts in (record.on_demand, record.refused, record.postponed)
        ),
    ]
    return f"| {' | '.join(cells)} |"


def findings(record: Record) -> list[Finding]:
    """Judge the day after the outage: no herd, where every finding holds."""
    scenario = record.scenario
    recovered = record.recovered_at()
    if recovered is None:
        return [Finding(False, "Every token is valid again before the day is over.")]
    minutes = (recovered - scenario.outage.ends_at) / 60
    first_hour = math.ceil(recovered / HOUR) * HOUR
    return [
        Finding(True, f"Every token is valid again {minutes:.0f} minutes after the provider is."),
        *_seconds(record),
        _evenness(record, first_hour, HOUR, HOURS_WITHIN, "hour"),
        _evenness(record, first_hour, TEN_MINUTES, TEN_MINUTES_WITHIN, "ten minutes"),
    ]


def steady_mean(record: Record) -> float:
    """Return the calls per second before the outage, from when most mailboxes have been refreshed."""
    settled = math.ceil(max(mean_period(app) for app in record.scenario.apps) / HOUR) * HOUR
    return record.mean(settled, record.scenario.outage.begins_at)


def _seconds(record: Record) -> Iterator[Finding]:
    """Compare the busiest second of each app with its budget, or the busiest minute of all with the fleet."""
    scenario = record.scenario
    begin = scenario.outage.ends_at
    grain = scenario.weight  # one simulated mailbox more than the budget, for its seconds begin in between
    if not scenario.budget:
        limit, busiest = scenario.capacity, max(record.loads(60, begin=begin))
        text = f"No minute after that has more calls than the fleet is for: {busiest:,.0f} of {limit:,.0f} per second."
        yield Finding(busiest <= limit * 1.05 + grain, text)
        return
    for number, app in enumerate(scenario.apps):
        limit, busiest = scenario.calls_per_second(app), max(record.loads(1, begin=begin, app=number))
        text = (
            f"No second after that brings {app.name} more calls than its budget: {busiest:,.0f} of {limit:,.0f}."
        )
        yield Finding(busiest <= limit + grain, text)


def _evenness(record: Record, begin: int, seconds: int, within: float, name: str) -> Finding:
    mean = steady_mean(record)
    loads = record.loads(seconds, begin=begin) or [math.inf]
    low, high = min(loads) / mean, max(loads) / mean
    chance = 3 / math.sqrt(mean * seconds / record.scenario.weight)
    text = f"Later, each {name} has within ±{within:.0%} of the calls before: {low:.0%} to {high:.0%}."
    return Finding(1 - within - chance <= low and high <= 1 + within + chance, text)
