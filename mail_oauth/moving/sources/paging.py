"""Pages of what a source gives one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from mail_oauth.moving.entries import Found


def paged(found: Iterable[Found], number: int) -> Iterator[list[Found]]:
    """Give pages of so many, the last one of what is left."""
    every = iter(found)
    while page := list(islice(every, number)):
        yield page
