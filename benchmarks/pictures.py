"""Line charts as SVG that stands by itself: no script, no font, no other file; readable on light and dark."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 840, 460
LEFT, RIGHT, TOP, BOTTOM = 78, 228, 56, 58
LABEL_HEIGHT = 17
ACCESSIBLE = 'role="img" aria-labelledby="title description"'

STYLE = """
svg { color-scheme: light dark; font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; }
.paper { fill: #ffffff; } text { fill: #1f2328; } .soft { fill: #59636e; }
.title { font-size: 16px; font-weight: 600; } .grid { stroke: #d1d9e0; stroke-width: 1; }
.axis { stroke: #59636e; stroke-width: 1; } .line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.ours .line { stroke-width: 3.5; } .ours text { font-weight: 600; } .goal .line { stroke-dasharray: 6 5; }
.c0 { --ink: #0969da; } .c1 { --ink: #1a7f37; } .c2 { --ink: #bc4c00; } .c3 { --ink: #8250df; }
.c4 { --ink: #bf3989; } .c5 { --ink: #9a6700; } .c6 { --ink: #59636e; }
.line { stroke: var(--ink); } .dot { fill: var(--ink); } .name { fill: var(--ink); }
@media (prefers-color-scheme: dark) {
  .paper { fill: #0d1117; } text { fill: #f0f6fc; } .soft { fill: #9198a1; } .grid { stroke: #3d444d; }
  .axis { stroke: #9198a1; }
  .c0 { --ink: #58a6ff; } .c1 { --ink: #3fb950; } .c2 { --ink: #f0883e; } .c3 { --ink: #bc8cff; }
  .c4 { --ink: #f778ba; } .c5 { --ink: #d29922; } .c6 { --ink: #9198a1; }
}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line of a chart. `emphasis` is ``"ours"``, ``"goal"`` or empty; `colour` counts from 0 to 6."""

    name: str
    points: Sequence[tuple[float, float]]
    colour: int
    emphasis: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """One axis, from `low` to `high`, logarithmic or not; `write` makes the text of a tick."""

    title: str
    ticks: Sequence[float]
    low: float
    high: float
    logarithmic: bool = False
    write: Callable[[float], str] = lambda value: f"{value:,.0f}"

    def share(self, value: float) -> float:
        """How far along the axis a value lies, from 0 to 1."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """A chart of lines, each named at its end."""

    title: str
    description: str
    x: Axis
    y: Axis
    lines: Sequence[Line]

    def svg(self) -> str:
        """Return the document."""
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {ACCESSIBLE}>',
            f'<title id="title">{escape(self.title)}</title>',
            f'<desc id="description">{escape(self.description)}</desc>',
            f"<style>{STYLE}</style>",
            f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
            f'<text class="title" x="{LEFT}" y="30">{escape(self.title)}</text>',
            *self._grid(),
            *self._drawn(),
            "</svg>\n",
        ]
        return "\n".join(parts)

    def _x(self, value: float) -> float:
        return LEFT + self.x.share(value) * (WIDTH - LEFT - RIGHT)

    def _y(self, value: float) -> float:
        return HEIGHT - BOTTOM - self.y.share(value) * (HEIGHT - TOP - BOTTOM)

    def _grid(self) -> list[str]:
        left, right, bottom = LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM
        parts = []
        for tick in self.y.ticks:
            height = self._y(tick)
            parts.append(f'<path class="grid" d="M{left} {height:.1f}H{right}"/>')
            parts.append(_text(left - 8, height + 4, self.y.write(tick), "soft", "end"))
        for tick in self.x.ticks:
            across = self._x(tick)
            parts.append(f'<path class="axis" d="M{across:.1f} {bottom}v5"/>')
            parts.append(_text(across, bottom + 20, self.x.write(tick), "soft", "middle"))
        parts.append(f'<path class="axis" d="M{left} {bottom}H{right}"/>')
        parts.append(_text((left + right) / 2, HEIGHT - 14, self.x.title, "soft", "middle"))
        parts.append(_text(left, TOP - 8, self.y.title, "soft", "start"))
        return parts

    def _drawn(self) -> list[str]:
        ends = [self._y(line.points[-1][1]) for line in self.lines]
        parts = []
        for line, height in zip(self.lines, spread_out(ends, LABEL_HEIGHT, HEIGHT - BOTTOM), strict=True):
            path = "L".join(f"{self._x(x):.1f} {self._y(y):.1f}" for x, y in line.points)
            parts.append(f'<g class="c{line.colour} {line.emphasis}"><path class="line" d="M{path}"/>')
            if line.emphasis != "goal":
                parts += [
                    f'<circle class="dot" cx="{self._x(x):.1f}" cy="{self._y(y):.1f}" r="3.5"/>'
                    for x, y in line.points
                ]
            parts.append(_text(WIDTH - RIGHT + 10, height + 4, line.name, "name", "start") + "</g>")
        return parts


def spread_out(heights: Sequence[float], gap: float, bottom: float) -> list[float]:
    """Return heights at least `gap` apart and not below `bottom`, in the same order, near where they were."""
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    placed = dict(enumerate(heights))
    for above, index in itertools.pairwise(order):
        placed[index] = max(placed[index], placed[above] + gap)
    for below, index in zip([None, *reversed(order)], reversed(order), strict=False):
        limit = bottom if below is None else placed[below] - gap
        placed[index] = min(placed[index], limit)
    return [placed[index] for index in range(len(heights))]


def powers(low: float, high: float) -> list[float]:
    """Return the powers of ten from `low` to `high`."""
    return [10.0**exponent for exponent in range(round(math.log10(low)), round(math.log10(high)) + 1)]


def _text(x: float, y: float, words: str, style: str, anchor: str) -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
