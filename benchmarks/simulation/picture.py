"""A simulated day as a picture: calls per second by minutes, one panel for each record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from benchmarks.simulation.record import Record
from benchmarks.simulation.scenario import HOUR

WIDTH, PANEL, GAP, LEFT, RIGHT, TOP, BOTTOM = 960, 190, 64, 64, 32, 64, 36
MINUTE = 60

STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }
  .title { font-size: 15px; font-weight: 600 }
  .small { font-size: 12px; fill: #57606a }
  .grid { stroke: #d0d7de; stroke-width: 1 }
  .outage { fill: #cf222e; fill-opacity: .12 }
  .mean { stroke: #57606a; stroke-width: 1; stroke-dasharray: 4 4 }
  .app0 { fill: #0969da }
  .app1 { fill: #2da44e }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .small { fill: #9198a1 }
    .grid { stroke: #3d444d }
    .outage { fill: #f85149; fill-opacity: .25 }
    .mean { stroke: #9198a1 }
    .app0 { fill: #4493f8 }
    .app1 { fill: #3fb950 }
  }
"""


def picture(panels: Sequence[tuple[str, Record]]) -> str:
    """Draw panels of one scale under each other, as SVG that is readable on light and on dark ground."""
    height = TOP + len(panels) * (PANEL + GAP) - GAP + BOTTOM
    most = max(max(record.loads(MINUTE)) for _, record in panels)
    first = panels[0][1].scenario
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="t">',
        f'<title id="t">Calls per second on a day of {first.mailboxes:,} mailboxes, with an outage of an hour</title>',
        f"<style>{STYLE}</style>",
        *_legend(first.mailboxes, [app.name for app in first.apps]),
    ]
    for number, (name, record) in enumerate(panels):
        lines += _panel(name, record, TOP + number * (PANEL + GAP), _ceiling(most))
    return "\n".join([*lines, "</svg>", ""])


def _legend(mailboxes: int, apps: Sequence[str]) -> Iterator[str]:
    yield f'<text x="{LEFT}" y="24" class="title">{mailboxes:,} mailboxes: calls per second, by minutes</text>'
    for number, name in enumerate(apps):
        x = WIDTH - RIGHT - 110 * (len(apps) - number)
        yield f'<rect x="{x}" y="14" width="12" height="12" class="app{number}"/>'
        yield f'<text x="{x + 18}" y="25">{escape(name)}</text>'


def _panel(name: str, record: Record, top: int, ceiling: int) -> Iterator[str]:
    """One day: what is called for each app, piled up, over a grid, with the outage behind."""
    bottom, scenario = top + PANEL, record.scenario

    def x(seconds: float) -> float:
        return round(LEFT + seconds / (scenario.hours * HOUR) * (WIDTH - LEFT - RIGHT), 1)

    def y(calls: float) -> float:
        return round(bottom - calls / ceiling * PANEL, 1)

    yield f'<text x="{LEFT}" y="{top - 12}">{escape(name)}</text>'
    begin, end = x(scenario.outage.begins_at), x(scenario.outage.ends_at)
    yield f'<rect x="{begin}" y="{top}" width="{end - begin:.1f}" height="{PANEL}" class="outage"/>'
    yield f'<text x="{end + 6}" y="{top + 12}" class="small">{escape(scenario.outage.app)} is away</text>'
    for calls in range(0, ceiling + 1, ceiling // 4):
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(calls)}" y2="{y(calls)}" class="grid"/>'
        yield f'<text x="{LEFT - 8}" y="{y(calls) + 4}" text-anchor="end" class="small">{calls:,}</text>'
    for hour in range(0, scenario.hours + 1, 3):
        yield f'<text x="{x(hour * HOUR)}" y="{bottom + 18}" text-anchor="middle" class="small">{hour:02}:00</text>'
    loads = [record.loads(MINUTE, app=app) for app in range(len(scenario.apps))]
    for app in reversed(range(len(loads))):  # each pile covers the lower part of the one before
        pile = [sum(calls) for calls in zip(*loads[: app + 1], strict=True)]
        points = " ".join(f"{x(minute * MINUTE)},{y(calls)}" for minute, calls in enumerate(pile))
        yield f'<polygon points="{LEFT},{bottom} {points} {x(len(pile) * MINUTE)},{bottom}" class="app{app}"/>'
    yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(scenario.load)}" y2="{y(scenario.load)}" class="mean"/>'


def _ceiling(calls: float) -> int:
    """Return a round number above, of which a quarter is round too."""
    step = 4
    while step * 10 < calls:
        step *= 10
    return next(step * times for times in (1, 2, 3, 4, 5, 6, 8, 10) if step * times >= calls)
