"""One deadline for a whole HTTP call: urllib3's timeouts bound each step of it apart."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_deadline: ContextVar[float] = ContextVar("mail_oauth_deadline")


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """End whatever waits within the block once `seconds` have passed."""
    token = _deadline.set(time.monotonic() + seconds)
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
