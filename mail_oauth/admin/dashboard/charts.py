"""Charts of stacked columns, as numbers for one small template: pure geometry, without a word of style."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from mail_oauth.admin.dashboard.findings import figure

WIDTH, HEIGHT = 600.0, 120.0
"""The units of the drawing, which is stretched to whatever room there is; all words stand beside it."""

LEAST = 2.0
"""So high is a number that is not zero, at least: one failure among a million successes is seen."""

GAP = 0.2
"""The part of its room that a column leaves empty."""


@dataclass(frozen=True, slots=True)
class Series:
    """One kind of what is counted: its name, the class by which it is coloured, and a number for each column."""

    name: str
    style: str
    numbers: tuple[int, ...]

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self.numbers)


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle of the drawing."""

    x: float
    y: float
    width: float
    height: float
    style: str

    @property
    def path(self) -> str:
        """The way around it, as SVG writes it in every language."""
        return f"M{self.x:.2f} {self.y:.2f}h{self.width:.2f}v{self.height:.2f}h-{self.width:.2f}z"


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart: `labels` name the columns, of which `ticks` are written under it. `key` makes its ids unique."""

    key: str
    title: str
    description: str
    unit: str
    labels: tuple[str, ...]
    ticks: tuple[str, ...]
    series: tuple[Series, ...]

    @cached_property
    def totals(self) -> list[int]:
        """The sum of each column."""
        return [sum(numbers) for numbers in zip(*(each.numbers for each in self.series), strict=True)]

    @cached_property
    def highest(self) -> int:
        """The highest column."""
        return max(self.totals, default=0)

    @property
    def total(self) -> int:
        """All of everything."""
        return sum(self.totals)

    @property
    def paths(self) -> list[tuple[str, str]]:
        """What is drawn as one path for each series, with its style: hundreds of elements would take longer."""
        bars = self.bars
        return [
            (each.style, "".join(bar.path for bar in bars if bar.style == each.style))
            for each in self.series
            if each.total
        ]

    @property
    def bars(self) -> list[Bar]:
        """What is drawn, column by column, each from the ground up."""
        return [bar for column in range(len(self.labels)) for bar in self._column(column)]

    @property
    def highest_words(self) -> str:
        """The highest column in words."""
        return figure(self.highest)

    @property
    def table(self) -> list[tuple[str, list[str], str]]:
        """The same as a table: a label, a number of each series, and their sum; columns without any are left out."""
        return [
            (label, [figure(each.numbers[column]) for each in self.series], figure(total))
            for column, (label, total) in enumerate(zip(self.labels, self.totals, strict=True))
            if total
        ]

    def _column(self, column: int) -> list[Bar]:
        room = WIDTH / len(self.labels)
        heights = [self._height(each.numbers[column]) for each in self.series]
        # What was made higher to be seen is taken from the highest part, so that no column leaves the drawing.
        heights[heights.index(max(heights))] -= max(sum(heights) - HEIGHT, 0.0)
        x, width = room * (column + GAP / 2), room * (1 - GAP)
        bars, ground = list[Bar](), HEIGHT
        for each, height in zip(self.series, heights, strict=True):
            if height:
                ground -= height
                bars.append(Bar(x, ground, width, height, each.style))
        return bars

    def _height(self, number: int) -> float:
        return max(number / self.highest * HEIGHT, LEAST) if number else 0.0


def spread_ticks(labels: Sequence[str], number: int) -> tuple[str, ...]:
    """Choose so many labels, evenly, the first and the last among them."""
    if len(labels) <= number:
        return tuple(labels)
    return tuple(labels[round(place * (len(labels) - 1) / (number - 1))] for place in range(number))
