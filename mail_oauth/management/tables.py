"""Tables for people, as a command prints them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from django.utils import timezone


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Lay out `rows` under `head` in columns; numbers stand at the right."""
    lines = [[_cell(value) for value in row] for row in rows]
    every = [list(head), *lines]
    widths = [max(len(line[column]) for line in every) for column in range(len(head))]
    numeric = [all(line[column].isdigit() for line in lines) and bool(lines) for column in range(len(head))]
    columns = list(zip(widths, numeric, strict=True))
    return "\n".join(_line(line, columns) for line in every)


def figures(numbers: Mapping[str, object]) -> list[tuple[str, object]]:
    """Return the rows of a report's numbers, with names for people."""
    return [(name.replace("_", " "), "-" if value == "" else value) for name, value in numbers.items()]


def moment(when: datetime | None) -> str:
    """Say how far away a moment is, as “in 4 min” or “12 s ago”."""
    if when is None:
        return "-"
    seconds = (when - timezone.now()).total_seconds()
    size = abs(seconds)
    unit = next(((name, length) for name, length in _UNITS if size >= length), _UNITS[-1])
    amount = f"{size / unit[1]:.0f} {unit[0]}"
    return f"in {amount}" if seconds >= 0 else f"{amount} ago"


_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def _cell(value: object) -> str:
    return moment(value) if value is None or isinstance(value, datetime) else str(value)


def _line(cells: Sequence[str], columns: Sequence[tuple[int, bool]]) -> str:
    pairs = zip(cells, columns, strict=True)
    return "  ".join(cell.rjust(width) if right else cell.ljust(width) for cell, (width, right) in pairs).rstrip()
