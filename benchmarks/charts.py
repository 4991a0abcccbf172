"""The two pictures: the cost of a read as accounts grow, and refreshes per second as workers grow."""

from __future__ import annotations

import math

from benchmarks.pictures import Axis, Chart, Line, powers
from benchmarks.reads import DICT, NEAR, RAW, REDIS, Reads
from benchmarks.sweeping import Sweeping

READS_TEXT = "Cost of a token read against the number of accounts, both logarithmic, for mail_oauth and its peers"
REFRESHES_TEXT = "Refreshes per second against the number of threads, for one worker process and for more"

NEEDED = 278
GOAL = 450


def reads_chart(reads: Reads) -> Chart:
    """Microseconds per read by accounts, log-log; what is ours is drawn strongest."""
    emphasis = {NEAR: "ours", REDIS: "ours"}
    names = [NEAR, REDIS, *(name for name in reads.costs if name not in {NEAR, REDIS, RAW, DICT}), DICT]
    lines = [
        Line(
            name=name,
            points=[(accounts, cost.wall * 1e6) for accounts, cost in reads.costs[name].items()],
            colour=min(colour, 5) if name != DICT else 6,
            emphasis=emphasis.get(name, ""),
        )
        for colour, name in enumerate(names)
    ]
    values = [value for line in lines for _, value in line.points]
    low, high = 10.0 ** math.floor(math.log10(min(values))), 10.0 ** math.ceil(math.log10(max(values)))
    most = max(accounts for line in lines for accounts, _ in line.points)
    x = Axis(
        title="accounts",
        ticks=[tick for tick in powers(1, 10.0 ** math.ceil(math.log10(most))) if tick <= most],
        low=1,
        high=most,
        logarithmic=True,
    )
    y = Axis(
        title="µs per read",
        ticks=powers(low, high),
        low=low,
        high=high,
        logarithmic=True,
        write=lambda value: f"{value:,.10g}",
    )
    return Chart(title="What a token read costs", description=READS_TEXT, x=x, y=y, lines=lines)


def refreshes_chart(crews: list[Sweeping]) -> Chart:
    """Refreshes per second by threads in all, a line for each number of workers."""
    most = max(crew.workers * crew.threads for crew in crews)
    least = min(crew.workers * crew.threads for crew in crews)
    lines = []
    for colour, workers in enumerate(sorted({crew.workers for crew in crews})):
        points = [(float(workers * crew.threads), crew.rate) for crew in crews if crew.workers == workers]
        name = f"{workers} worker{'s' if workers > 1 else ''}"
        lines.append(Line(name=name, points=sorted(points), colour=colour, emphasis="ours"))
    lines.append(_level(f"needed for 1,000,000 ({NEEDED})", NEEDED, least, most, 6))
    lines.append(_level(f"the goal ({GOAL})", GOAL, least, most, 2))
    highest = max(value for line in lines for _, value in line.points)
    step = 100 if highest < 800 else 200
    top = step * math.ceil(highest * 1.05 / step)
    ticks = sorted({float(crew.workers * crew.threads) for crew in crews})
    x = Axis(title="threads in all", ticks=ticks, low=least, high=most, logarithmic=True)
    y = Axis(title="refreshes per second", ticks=list(range(0, top + 1, step)), low=0, high=top)
    return Chart(
        title="Refreshes per second, TLS, 100 ms latency", description=REFRESHES_TEXT, x=x, y=y, lines=lines
    )


def _level(name: str, value: float, least: float, most: float, colour: int) -> Line:
    return Line(name=name, points=[(least, value), (most, value)], colour=colour, emphasis="goal")
