"""Work in several threads at once, and work while a provider is still answering."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import pytest
from django.db import connection, connections

from mail_oauth.testing.faults import Fault
from mail_oauth.testing.messages import Reply

T = TypeVar("T")


def closing(work: Callable[[], T]) -> T:
    """Run `work` and close the database connections that its thread opened."""
    try:
        return work()
    finally:
        connections.close_all()


def together(number: int, work: Callable[[], T]) -> list[T]:
    """Run `work` in `number` threads that begin at the same moment; what each returned."""
    barrier = threading.Barrier(number)

    def begin() -> T:
        barrier.wait()
        return closing(work)

    with ThreadPoolExecutor(number) as pool:
        futures = [pool.submit(begin) for _ in range(number)]
    return [future.result() for future in futures]


def meanwhile(action: Callable[[], object], fault: Fault | None = None) -> Fault:
    """A fault that does something while the caller waits, then answers truly or as `fault` does."""
    answer = fault or Fault.slow(0)

    def transform(reply: Reply) -> Reply:
        with ThreadPoolExecutor(1) as pool:  # no thread of the server is kept with an open connection
            pool.submit(closing, action).result()
        return answer.transform(reply)

    return replace(answer, name="meanwhile", transform=transform)


@pytest.fixture
def separate_connections(shareable_database: None, transactional_db: None) -> None:
    """Threads have connections of their own to one database, and see what others commit."""


@pytest.fixture(scope="session")
def shareable_database(django_db_setup: None) -> None:
    """Not SQLite in memory: known before a test's tables are made empty for it."""
    if connection.vendor == "sqlite" and connection.is_in_memory_db():
        pytest.skip("threads cannot share SQLite in memory; runs on the other databases")
