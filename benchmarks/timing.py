"""Timing: medians of many short rounds in which the competitors take turns.

Shared machines drift by half within minutes. What is compared is therefore measured in turns (A B A B …), and a
ratio is the median of the rounds' ratios, of which both parts met the same machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

CHUNK_SECONDS = 0.02
"""How long one competitor's turn takes, about."""

MOST_CALLS = 20_000
"""Above what a turn takes no longer: enough of the very cheapest calls."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one call took in each round, in seconds of wall clock and of this process's CPU."""

    walls: tuple[float, ...]
    cpus: tuple[float, ...] = ()

    @property
    def wall(self) -> float:
        """The median."""
        return statistics.median(self.walls)

    @property
    def cpu(self) -> float:
        """The median of the CPU time."""
        return statistics.median(self.cpus)

    @property
    def spread(self) -> float:
        """Half the distance of the quartiles of wall times, as a share of the median."""
        return spread(self.walls)

    @property
    def cpu_spread(self) -> float:
        """The same of CPU times."""
        return spread(self.cpus)


def spread(values: Sequence[float]) -> float:
    """Return half the distance of the quartiles, as a share of the median; 0 of fewer than two values."""
    if len(values) < 2:
        return 0.0
    low, median, high = statistics.quantiles(values, n=4)
    return (high - low) / 2 / median if median else 0.0


def ratio(one: Sequence[float], other: Sequence[float]) -> float:
    """Return how many times `other` the `one` is: the median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def slope(values: Sequence[float]) -> float:
    """Return by how much evenly spaced values grow from one to the next, by least squares."""
    if len(values) < 2:
        return 0.0
    return statistics.linear_regression(range(len(values)), values).slope


def take_turns(competitors: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, Measured]:
    """Time the competitors in turns, each for about `CHUNK_SECONDS` a round, after a round that warms them."""
    calls = {name: _calls(call) for name, call in competitors.items()}
    turns: dict[str, list[tuple[float, float]]] = {name: [] for name in competitors}
    for _ in range(rounds):
        for name, call in competitors.items():
            turns[name].append(_turn(call, calls[name]))
    return {
        name: Measured(tuple(wall for wall, _ in taken), tuple(cpu for _, cpu in taken))
        for name, taken in turns.items()
    }


def _turn(call: Callable[[], object], calls: int) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(calls):
        call()
    return (time.perf_counter() - wall) / calls, (time.process_time() - cpu) / calls


def _calls(call: Callable[[], object]) -> int:
    """How many calls make up a turn, found by more and more of them: the first ones may fill what later ones read."""
    calls = 1
    while True:
        wall, _ = _turn(call, calls)
        if wall * calls > CHUNK_SECONDS / 4 or calls >= MOST_CALLS:
            return max(1, min(int(CHUNK_SECONDS / wall), MOST_CALLS))
        calls *= 4
