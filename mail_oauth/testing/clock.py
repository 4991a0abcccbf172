"""A clock that tests set forward: this process's wall clock, and the database's where this app asks it.

What it does not move: `time.monotonic`, by which callers wait and calls end, so that deadlines stay true; SQL that asks
the database for the time by other means than this app's; a cache server's own clock (an entry of Redis stays until its
real end, but this app does not believe the token in it for longer than the token lives); other processes.
"""

from collections.abc import Iterator
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
        self.ahead = timedelta(0)
        """By so much it is ahead of the true time."""

    def advance(self, seconds: float) -> None:
        """Jump ahead. Raises `ValueError` for less than nothing: tokens are not made for clocks that run backwards."""
        if seconds < 0:
            raise ValueError("This clock only goes forward.")
        by = timedelta(seconds=seconds)
        self._traveller.shift(by)
        self.ahead += by
        near_copies.clear()  # they count by the monotonic clock, which stands for real seconds

    def now(self) -> datetime:
        """The time by this clock, in UTC."""
        return datetime.now(UTC)


@contextmanager
def moved_clock() -> Iterator[MovableClock]:
    """A clock that can be set forward inside a ``with`` block, for the whole process.

    Raises `ModuleNotFoundError` where time-machine is not installed, which moves Python's own clocks.
    """
    try:
        import time_machine  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as missing:
        if missing.name != "time_machine":
            raise
        raise ModuleNotFoundError(
            "The clock of tests needs time-machine: pip install 'mail-oauth[testing]'.", name="time_machine"
        ) from None
    with time_machine.travel(datetime.now(UTC), tick=True) as traveller:
        clock = MovableClock(traveller)
        with patch.object(DatabaseNow, "resolve_expression", _resolving(clock)):
            yield clock
    near_copies.clear()


class _TrueNow(DatabaseNow):
    """The database's clock as it is, untouched by `moved_clock`."""

    resolve_expression = Now.resolve_expression


def _resolving(clock: MovableClock) -> Any:
    """What takes the place of the database's clock in a query: the same, plus what the clock is ahead."""

    def resolve_expression(_self: DatabaseNow, *args: Any, **kwargs: Any) -> Any:
        ahead = Value(clock.ahead, output_field=DurationField())
        moved = ExpressionWrapper(_TrueNow() + ahead, output_field=DateTimeField())
        return cast(Any, moved).resolve_expression(*args, **kwargs)

    return resolve_expression
