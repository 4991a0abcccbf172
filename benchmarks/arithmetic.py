"""The tables of docs/scaling.md, computed from the base figures that stand at its top.

    python -m benchmarks.arithmetic    # writes them

Change a base figure in the page after a benchmark, run this, and everything that follows from it is right again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"
SIZES = (1_000_000, 10_000_000, 100_000_000)

DAY = 86_400
_BASE_ROW = re.compile(r"^\| `(\w+)` \| ([\d.,]+) \|", re.MULTILINE)

Formula = Callable[[float], float]
Row = tuple[str, str, Formula]
"""What it is, its unit, and how it follows from the number of mailboxes."""


class Figures:
    """The base figures by name, as the page has them; where units differ, in seconds and bytes."""

    def __init__(self, page: str) -> None:
        """Read them from the table between the markers `base`."""
        found = _BASE_ROW.findall(between_markers(page, "base"))
        self._values = {name: float(value.replace(",", "")) for name, value in found}

    def __getattr__(self, name: str) -> float:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"docs/scaling.md has no base figure {name!r}.") from None

    def rate(self, mailboxes: float) -> float:
        """Refreshes per second that keep so many mailboxes warm."""
        return mailboxes / self.period

    def sweeps(self, mailboxes: float) -> int:
        """How many `refresh_batch` tasks must run at once."""
        return math.ceil(self.rate(mailboxes) * self.headroom * self.latency / self.threads)

    def recently_used(self, mailboxes: float) -> float:
        """Refreshes per second if only the recently used are kept warm, and the others' grants alive."""
        touched = (1 - self.used_share) / (self.idle_days * DAY)
        return mailboxes * (self.used_share / self.period + touched)


def load(base: Figures) -> list[Row]:
    """Workers, and the machines for them."""
    cores = base.worker_cpu / 1000
    return [
        ("refreshes", "per second", base.rate),
        ("threads that wait for a provider", "at once", lambda n: base.rate(n) * base.latency),
        ("threads to have", "", lambda n: base.rate(n) * base.latency * base.headroom),
        ("sweeps at once: `BATCH_TASKS`", "", base.sweeps),
        ("CPU of workers", "cores busy", lambda n: base.rate(n) * cores),
        ("cores for workers", "to have", lambda n: base.rate(n) * cores * base.headroom),
        ("replies of providers", "Mbit/s", lambda n: base.rate(n) * base.reply * 8 / 1e6),
        (
            "machines of the benchmark (2 cores, all parts on them)",
            "to have",
            lambda n: math.ceil(base.rate(n) * base.headroom / base.one_machine),
        ),
    ]


def database(base: Figures) -> list[Row]:
    """PostgreSQL: size, writes and connections."""
    size = base.row + base.tokens + base.indexes
    return [
        ("CPU of PostgreSQL", "cores busy", lambda n: base.rate(n) * base.database_cpu / 1000),
        ("cores for PostgreSQL", "to have", lambda n: base.rate(n) * base.database_cpu / 1000 * base.headroom),
        ("rows, without tokens", "GB", lambda n: n * base.row / 1e9),
        ("tokens, beside them (TOAST)", "GB", lambda n: n * base.tokens / 1e9),
        ("indexes", "GB", lambda n: n * base.indexes / 1e9),
        ("disk, with the dead versions between two vacuums", "GB", lambda n: n * size * base.bloat / 1e9),
        ("updates of rows, of which each writes every index", "per second", lambda n: 2 * base.rate(n)),
        ("WAL", "MB/s", lambda n: base.rate(n) * base.wal / 1e6),
        ("WAL", "GB a day", lambda n: base.rate(n) * base.wal * DAY / 1e9),
        ("dead versions of rows", "per hour", lambda n: 2 * base.rate(n) * 3600),
        ("connections of the sweeps", "", lambda n: base.sweeps(n) * (int(base.threads) + 2)),
    ]


def events(base: Figures) -> list[Row]:
    """The history of routine refreshes."""
    week = 7 * DAY
    return [
        ("events of routine refreshes", "a day", lambda n: base.rate(n) * DAY),
        ("their size", "GB a day", lambda n: base.rate(n) * DAY * base.event / 1e9),
        ("kept for 7 days (the default)", "GB", lambda n: base.rate(n) * week * base.event / 1e9),
    ]


def redis(base: Figures) -> list[Row]:
    """The copies of access tokens."""
    return [
        ("memory", "GB", lambda n: n * base.redis_entry / 1e9),
        ("writes", "per second", base.rate),
        ("writes", "MB/s", lambda n: base.rate(n) * base.redis_entry / 1e6),
        ("reads, each mailbox asked for every `asked` seconds", "per second", lambda n: n / base.asked),
        ("reads", "MB/s", lambda n: n / base.asked * base.redis_entry / 1e6),
        ("one walk of `reconcile_cache`", "s", lambda n: n / 1e6 * base.reconcile),
    ]


def policies(base: Figures) -> list[Row]:
    """What it saves to keep only used mailboxes warm, and the budgets of a provider."""
    return [
        ("refreshes, `always`", "per second", base.rate),
        ("refreshes, `recently_used`", "per second", base.recently_used),
        ("`CALLS_PER_SECOND`, if all are at one provider", "", lambda n: base.rate(n) * base.budget),
    ]


TABLES: dict[str, Callable[[Figures], list[Row]]] = {
    "load": load,
    "database": database,
    "events": events,
    "redis": redis,
    "policies": policies,
}


def table(rows: list[Row]) -> str:
    """Set the rows out in Markdown, a column for each size."""
    names = [f"{size // 1_000_000} M" for size in SIZES]
    lines = [f"| mailboxes | | {' | '.join(names)} |", "|---|---|" + "---:|" * len(SIZES)]
    for name, unit, formula in rows:
        lines.append(f"| {name} | {unit} | {' | '.join(number(formula(size)) for size in SIZES)} |")
    return "\n".join(lines)


def number(value: float) -> str:
    """Return a figure with two digits that count, or three from a hundred on: they come from measurements."""
    if isinstance(value, int):
        return f"{value:,}"
    if value >= 1e6:
        return f"{number(value / 1e6)} M"
    digits = (3 if value >= 100 else 2) - 1 - math.floor(math.log10(abs(value)))
    return f"{round(value, digits):,.{max(digits, 0)}f}"


def between_markers(page: str, name: str) -> str:
    """Return what stands in the page where a table belongs."""
    start, end = _place(page, name)
    return page[start:end].rstrip("\n")


def replaced(page: str, name: str, text: str) -> str:
    """Return the page with another text in the place of that name."""
    start, end = _place(page, name)
    return f"{page[:start]}{text}\n{page[end:]}"


def _place(page: str, name: str) -> tuple[int, int]:
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    if begin not in page or end not in page:
        raise LookupError(f"docs/scaling.md has no place for the table {name!r}.")
    return page.index(begin) + len(begin), page.index(end)


def written(page: str) -> str:
    """Return the page with every table computed anew."""
    base = Figures(page)
    for name, rows_of in TABLES.items():
        page = replaced(page, name, table(rows_of(base)))
    return page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
