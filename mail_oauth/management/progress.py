"""How far a long command is: a bar on a terminal, a line now and then elsewhere, nothing where nobody wants it."""

from __future__ import annotations

import shutil
import time
from typing import Any, Self

from django.core.management.base import OutputWrapper
from django.db import connections
from django.db.models import QuerySet

BAR_SECONDS = 0.1
"""How often the bar is drawn anew."""

LINE_SECONDS = 10.0
"""How often a line is written where there is no terminal: a short run writes none."""

COUNTED = 100_000
"""Tables that PostgreSQL believes to have more rows are not counted."""

_NARROWEST, _WIDEST = 8, 40
"""How many characters the bar has, where there is room for it beside the words."""

_OTHER_WORDS = 38
"""How many characters the words have at the most, beside the total and what is counted."""


def about_how_many(rows: QuerySet[Any]) -> int:
    """Count a whole table, or return what PostgreSQL believes where counting takes long: good enough for a bar."""
    connection = connections[rows.db]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            table = connection.ops.quote_name(rows.model._meta.db_table)
            cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [table])
            believed: int = cursor.fetchone()[0]
        if believed > COUNTED:
            return believed
    return rows.count()


class Progress:
    """Shows on `stream` how many of about `total` things are done, how many a second, and how long the rest takes.

    Call it with the number so far, as often as you like, inside `with`.
    """

    def __init__(self, stream: OutputWrapper, total: int, what: str, *, verbosity: int = 1) -> None:
        """`what` names the things; with `verbosity` 0 nothing is shown."""
        self.stream, self.total, self.what = stream, max(total, 0), what
        self.silent = verbosity < 1
        self.is_bar: bool = stream.isatty()
        self.begun = self.shown = time.monotonic()
        self.done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Draw the bar a last time, and leave its line."""
        if self.is_bar and not self.silent and self.done:
            self._draw(ending="\n")

    def __call__(self, done: int) -> None:
        """Note that so many are done."""
        self.done = done
        now = time.monotonic()
        if self.silent or now - self.shown < (BAR_SECONDS if self.is_bar else LINE_SECONDS):
            return
        self.shown = now
        if self.is_bar:
            self._draw()
        else:
            self._write(self.words(now - self.begun) + "\n")

    def words(self, seconds: float) -> str:
        """Say how far it is after so many seconds."""
        total = max(self.total, self.done)
        rate = self.done / max(seconds, 1e-6)
        said = f"{self.done:,} of {total:,} {self.what}, {self.share:.0%}, {rate:,.0f}/s"
        left = (total - self.done) / rate if self.done else None
        return said if not left else f"{said}, {_duration(left)} left"

    @property
    def share(self) -> float:
        """How much is done, between 0 and 1."""
        return self.done / max(self.total, self.done, 1)

    def _draw(self, ending: str = "") -> None:
        columns = shutil.get_terminal_size().columns - 1
        room = min(columns - len(self.what) - 2 * len(f"{self.total:,}") - _OTHER_WORDS, _WIDEST)
        filled = round(max(room, 0) * self.share)
        bar = f"[{'#' * filled}{'.' * (room - filled)}] " if room >= _NARROWEST else ""
        words = self.words(time.monotonic() - self.begun)
        self._write(f"\r{(bar + words)[:columns].ljust(columns)}{ending}")

    def _write(self, text: str) -> None:
        self.stream.write(text, style_func=str, ending="")  # on stderr, but no error
        self.stream.flush()


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
