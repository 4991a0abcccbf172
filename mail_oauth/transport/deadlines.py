"""One deadline for a whole HTTP call: urllib3's timeouts bound each step of it apart."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar

_deadline: ContextVar[float] = ContextVar("mail_oauth_deadline")


def deadline(seconds: float) -> AbstractContextManager[None]:
    """End whatever waits within the block once `seconds` have passed, whatever deadline stands around it."""
    return _until(time.monotonic() + seconds)


def deadline_within(seconds: float) -> AbstractContextManager[None]:
    """End it no later than the deadline that stands around it, either."""
    return _until(min(time.monotonic() + seconds, _deadline.get(math.inf)))


@contextmanager
def _until(moment: float) -> Iterator[None]:
    token = _deadline.set(moment)
    try:
        yield
    finally:
        _deadline.reset(token)


def seconds_left() -> float:
    """Return how long the call may still take; infinite without a deadline. Raises `TimeoutError` after it."""
    remaining = _deadline.get(math.inf) - time.monotonic()
    if remaining <= 0:
        raise TimeoutError("The total deadline of the call has passed.")
    return remaining
