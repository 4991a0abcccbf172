"""What a claim of due rows costs in a large table and in a small one."""

from __future__ import annotations

import time

from benchmarks.databases import SMALL
from benchmarks.mailboxes import make_due, make_resting, settle, top_up
from benchmarks.timing import Measured
from mail_oauth.models import MailCredentials

CLAIMED = 500
DUE = 2_000
SMALL_ROWS = 10_000


def measure_claims(*, rounds: int) -> tuple[Measured, Measured]:
    """Claim `CLAIMED` of `DUE` rows in the large table and in one of `SMALL_ROWS`, in turns; give them back."""
    make_due(DUE, SMALL)
    make_resting(SMALL_ROWS - DUE, SMALL)
    top_up(DUE)
    for alias in ("default", SMALL):
        settle(alias)
        _claim(alias)
    walls: dict[str, list[float]] = {"default": [], SMALL: []}
    for _ in range(rounds):
        for alias, taken in walls.items():
            taken.append(_claim(alias))
    return Measured(tuple(walls["default"])), Measured(tuple(walls[SMALL]))


def _claim(alias: str) -> float:
    """Claim, with the rows and their tokens in hand at the end; seconds."""
    rows = MailCredentials.objects.using(alias)
    begun = time.perf_counter()
    claimed = rows.claim_due(CLAIMED)
    seconds = time.perf_counter() - begun
    if len(claimed) != CLAIMED:
        raise AssertionError(f"{len(claimed)} rows were claimed instead of {CLAIMED}")
    rows.give_back(claimed)
    return seconds
