"""What a measure brings: goals that are met or not, and tables to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """One figure that was promised: what was seen, and whether that keeps the promise."""

    measure: str
    seen: str
    goal: str
    met: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table of the report; `note` says how its figures came about."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""


@dataclass(kw_only=True, slots=True)
class Results:
    """All that a run has brought so far."""

    goals: list[Goal] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)

    def add(self, *found: Goal | Table) -> None:
        """Take in goals and tables."""
        for item in found:
            if isinstance(item, Goal):
                self.goals.append(item)
            else:
                self.tables.append(item)


def microseconds(seconds: float) -> str:
    """Write a short time: two digits that count."""
    value = seconds * 1e6
    return f"{value:,.2f} µs" if value < 10 else f"{value:,.1f} µs" if value < 100 else f"{value:,.0f} µs"


def milliseconds(seconds: float) -> str:
    """Write a time in milliseconds."""
    return f"{seconds * 1e3:,.2f} ms"


def percent(share: float) -> str:
    """Write a spread."""
    return f"± {share:.0%}"


def times(ratio: float) -> str:
    """Write a ratio."""
    return f"{ratio:,.0f} times" if ratio >= 20 else f"{ratio:.2f} times"
