"""How much is measured: all of it, or enough to see whether something is badly wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Sizes and times of a run; times are in seconds.

    `sizes` are the numbers of accounts that reads are measured with, the last of which the other measures have too.
    `crews` are pairs of worker processes and threads in each, of which `load` is the one that runs for long.
    """

    sizes: tuple[int, ...]
    read_rounds: int
    refresh_rounds: int
    refresh_batch: int
    claim_rounds: int
    reconcile_rounds: int
    page_rounds: int
    crews: tuple[tuple[int, int], ...]
    crew_seconds: float
    load: tuple[int, int]
    load_seconds: float
    limit: int


FULL = Plan(
    sizes=(1, 10, 100, 1_000, 10_000, 100_000, 1_000_000),
    read_rounds=21,
    refresh_rounds=5,
    refresh_batch=1_500,
    claim_rounds=15,
    reconcile_rounds=3,
    page_rounds=9,
    crews=tuple((workers, threads) for workers in (1, 2) for threads in (4, 8, 16, 32, 64)),
    crew_seconds=8,
    load=(2, 32),
    load_seconds=300,
    limit=55 * 60,
)

QUICK = Plan(
    sizes=(1, 100, 10_000, 50_000),
    read_rounds=11,
    refresh_rounds=3,
    refresh_batch=500,
    claim_rounds=9,
    reconcile_rounds=2,
    page_rounds=5,
    crews=((1, 8), (1, 32), (2, 8), (2, 32)),
    crew_seconds=5,
    load=(2, 32),
    load_seconds=15,
    limit=15 * 60,
)
