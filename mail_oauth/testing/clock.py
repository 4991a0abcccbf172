"""A clock that tests set forward: this process's wall clock, and the database's where this app asks it.

What it does not move: `time.monotonic`, by which callers wait and calls end, so that deadlines stay true; SQL that asks
the database for the time by other means than this app's; a cache server's own clock (an entry of Redis stays until its
real end, but this app does not believe the token in it for longer than the token lives); other processes.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from unittest.mock import patch

from django.db.models import DateTimeField, DurationField, ExpressionWrapper, Value
from django.db.models.functions import Now

from mail_oauth.managers.clock import DatabaseNow
from mail_oauth.near import near_copies


class MovableClock:
    """Runs on by itself, and jumps when told; `moved_clock` makes one."""

    def __init__(self, traveller: Any) -> None:
        self._traveller = traveller

    def advance(self, by: float | timedelta) -> None:
        """Jump ahead by so many seconds, or a `timedelta`.

        Raises `ValueError` for less than nothing: tokens are not made for clocks that run backwards.
        """
        by = by if isinstance(by, timedelta) else timedelta(seconds=by)
        if by < timedelta(0):
            raise ValueError("This clock only goes forward.")
        self._traveller.shift(by)
        near_copies.clear()  # they count by the monotonic clock, which stands for real seconds

    def now(self) -> datetime:
        """The time by this clock, in UTC."""
        return datetime.now(UTC)


_running: list[MovableClock] = []
"""The clock of this process, while there is one."""


@contextmanager
def moved_clock() -> Iterator[MovableClock]:
    """A clock that can be set forward inside a ``with`` block, for the whole process.

    Inside another's block it is that one, for a process has one clock; inside `time_machine.travel` it goes on from there.
    Raises `ModuleNotFoundError` where time-machine is not installed, which moves Python's own clocks, and `RuntimeError`
    inside freezegun's `freeze_time`, which moves them in another way.
    """
    if _running:
        yield _running[0]
        return
    time_machine = _time_machine()
    with time_machine.travel(datetime.now(UTC), tick=True) as traveller:
        clock = MovableClock(traveller)
        _running.append(clock)
        try:
            with patch.object(DatabaseNow, "resolve_expression", _resolving(time_machine.escape_hatch.time.time)):
                yield clock
        finally:
            _running.clear()
            near_copies.clear()


def _time_machine() -> Any:
    try:
        import time_machine  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as missing:
        if missing.name != "time_machine":
            raise
        raise ModuleNotFoundError(
            "The clock of tests needs time-machine: pip install 'mail-oauth[testing]'.", name="time_machine"
        ) from None
    return time_machine


class _TrueNow(DatabaseNow):
    """The database's clock as it is, untouched by `moved_clock`."""

    resolve_expression = Now.resolve_expression


def _resolving(true_time: Callable[[], float]) -> Any:
    """What takes the place of the database's clock in a query: the same, plus what this process is ahead of the true time.

    Counted for each query, so that both stay together whoever else moves this process's clock; in milliseconds, since
    two readings of a clock lie some microseconds apart.
    """

    def resolve_expression(_self: DatabaseNow, *args: Any, **kwargs: Any) -> Any:
        by = timedelta(milliseconds=round((time.time() - true_time()) * 1000))
        ahead = Value(by, output_field=DurationField())
        moved = ExpressionWrapper(_TrueNow() + ahead, output_field=DateTimeField())
        return cast(Any, moved).resolve_expression(*args, **kwargs)

    return resolve_expression
