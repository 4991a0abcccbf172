"""The report as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.results import Results, Table

INTRODUCTION = """\
# Benchmark

Made by `{command}`.

Client, PostgreSQL, Redis and the token endpoint all run on one machine and share its processors. Competitors take
turns within one run; figures are medians, a spread is half the distance of the quartiles, and a ratio is the median
of the rounds' ratios. Machines drift and differ: trust the ratios first.
"""


def write_report(
    results: Results,
    *,
    facts: Sequence[tuple[str, str]],
    missing: dict[str, str],
    pictures: dict[str, str],
    command: str,
) -> str:
    """Return the document; `pictures` has the alternative text by path."""
    goals = Table(
        title="In short",
        head=("measure", "this run", "goal", "met"),
        rows=[(goal.measure, goal.seen, goal.goal, "yes" if goal.met else "**no**") for goal in results.goals],
    )
    parts = [INTRODUCTION.format(command=command)]
    parts += [section(goals)]
    parts += [f"Not measured: {name}, which is not installed ({reason}).\n" for name, reason in missing.items()]
    parts += [f"![{text}]({path})\n" for path, text in pictures.items()]
    parts += [section(Table(title="The machine", head=("what", "which"), rows=list(facts)))]
    parts += [section(table) for table in results.tables]
    return "\n".join(parts)


def section(table: Table) -> str:
    """Return a table under its title."""
    lines = [f"## {table.title}", ""]
    lines += [table.note, ""] if table.note else []
    lines += [_row(table.head), _row(["---"] * len(table.head)), *(_row(row) for row in table.rows), ""]
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    whole = " | ".join(cell.replace("|", "\\|") for cell in cells)
    return f"| {whole} |"
