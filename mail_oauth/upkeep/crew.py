"""A crew of threads that works items off, each with database connections of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

from django.db import connections

T = TypeVar("T")
R = TypeVar("R")


class Crew(Generic[T, R]):
    """Up to `threads` threads, started as work comes; with 0, `wait()` does the work in the calling thread.

    A signal's handler runs in the main thread. Work that must not be cut short, as the save after a refresh,
    is therefore safe in a crew: the exception that a handler raises never strikes it.
    """

    def __init__(self, work: Callable[[T], R], threads: int) -> None:
        """Do `work`, which raises nothing, on each item."""
        self.outstanding = 0
        self._work = work
        self._size = threads
        self._threads: list[Thread] = []
        self._waiting: SimpleQueue[T | None] = SimpleQueue()
        self._results: SimpleQueue[R] = SimpleQueue()

    def give(self, items: Iterable[T]) -> None:
        """Hand over items; `outstanding` counts those whose result was not fetched."""
        for item in items:
            self.outstanding += 1
            self._waiting.put(item)
            if len(self._threads) < min(self._size, self.outstanding):
                self._threads.append(Thread(target=self._run, name="mail_oauth-upkeep"))
                self._threads[-1].start()

    def wait(self) -> R:
        """Return the next result; for ever, where nothing is outstanding."""
        if not self._size and (item := self._waiting.get()) is not None:
            self._results.put(self._work(item))
        result = self._results.get()
        self.outstanding -= 1
        return result

    def dismiss(self) -> tuple[list[T], list[R]]:
        """Wait for what runs and end the threads; return the items not begun and the results not fetched."""
        not_begun = [item for item in _drain(self._waiting) if item is not None]
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()
        return not_begun, _drain(self._results)

    def _run(self) -> None:
        try:
            while (item := self._waiting.get()) is not None:
                self._results.put(self._work(item))
        finally:
            connections.close_all()


def _drain(queue: SimpleQueue[T]) -> list[T]:
    """Take whatever lies in `queue` now."""
    items: list[T] = []
    while True:
        try:
            items.append(queue.get_nowait())
        except Empty:
            return items
