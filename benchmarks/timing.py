"""Timing: medians of many short rounds, since single timings on shared machines say little."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    """One line of the report; times in microseconds of wall clock and of this process's CPU."""

    name: str
    wall: float
    spread: float
    cpu: float

    def row(self) -> str:
        """The line as Markdown."""
        return f"| {self.name} | {self.wall:,.1f} | ± {self.spread:.0%} | {self.cpu:,.1f} |"


def measure(name: str, call: Callable[[], object], *, rounds: int, calls: int) -> Measured:
    """Time `calls` calls in each of `rounds` rounds; the spread is half the quartiles' distance."""
    call()
    walls, cpus = [], []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(calls):
            call()
        walls.append((time.perf_counter() - wall) / calls * 1e6)
        cpus.append((time.process_time() - cpu) / calls * 1e6)
    median = statistics.median(walls)
    low, _, high = statistics.quantiles(walls, n=4)
    return Measured(name, median, (high - low) / 2 / median, statistics.median(cpus))
