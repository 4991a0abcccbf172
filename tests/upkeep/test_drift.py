"""A copy is compared with its row by their headers alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from mail_oauth.cache import Header
from mail_oauth.managers.vocabulary import Status
from mail_oauth.upkeep.drift import Drift, RowState, drift

NOW = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
ISSUED, EXPIRY = NOW - timedelta(minutes=10), NOW + timedelta(minutes=50)
HEALTHY = RowState(
    pk=UUID(int=1),
    generation=7,
    status=Status.CONNECTED,
    use_oauth=True,
    token_expiry=EXPIRY,
    token_issued_at=ISSUED,
)
DEMOTED = replace(HEALTHY, status=Status.NEEDS_REAUTH)
PAUSED = replace(HEALTHY, use_oauth=False)
ENDING = replace(HEALTHY, token_issued_at=NOW - timedelta(hours=1), token_expiry=NOW + timedelta(seconds=59))
EMPTY = replace(HEALTHY, token_issued_at=None, token_expiry=None)


def copy(generation: int = 7, row: RowState = HEALTHY, **moved: float) -> Header:
    """The header of a copy of `row`'s token, `moved` by a timedelta."""
    by = timedelta(**moved)
    assert row.token_issued_at is not None
    assert row.token_expiry is not None
    times = (row.token_issued_at + by).timestamp(), (row.token_expiry + by).timestamp()
    return Header(generation, *map(int, times))


def tombstone(generation: int) -> Header:
    return Header(generation, 0, 0)


@pytest.mark.parametrize(
    ("row", "held", "cause"),
    [
        pytest.param(HEALTHY, copy(), None, id="they agree"),
        pytest.param(HEALTHY, None, Drift.ABSENT, id="flushed"),
        pytest.param(ENDING, None, None, id="nothing to copy: it would be refused to callers"),
        pytest.param(EMPTY, None, None, id="nothing to copy: there is no token"),
        pytest.param(DEMOTED, None, None, id="nothing there that must not be"),
        pytest.param(HEALTHY, copy(6, minutes=-40), Drift.OLDER, id="from before the last refresh"),
        pytest.param(HEALTHY, copy(6), Drift.OLDER, id="the same token, from before a failure was noted"),
        pytest.param(HEALTHY, copy(8), Drift.NEWER, id="restored from a backup"),
        pytest.param(DEMOTED, copy(8), Drift.NEWER, id="restored to a state without use"),
        pytest.param(HEALTHY, copy(7, seconds=2), Drift.OTHER, id="restored, and counted up again"),
        pytest.param(EMPTY, copy(7), Drift.OTHER, id="restored to a row without a token"),
        pytest.param(HEALTHY, tombstone(7), Drift.BURIED, id="buried at the row's own generation"),
        pytest.param(HEALTHY, tombstone(9), Drift.BURIED, id="restored to before a disconnect"),
        pytest.param(ENDING, tombstone(7), None, id="a tombstone with nothing to put in its place"),
        pytest.param(DEMOTED, tombstone(7), None, id="rightly buried"),
        pytest.param(DEMOTED, copy(6), Drift.UNUSABLE, id="demoted while the cache was away"),
        pytest.param(PAUSED, copy(7), Drift.UNUSABLE, id="switched off"),
        pytest.param(HEALTHY, copy(7, hours=-1), Drift.EXPIRED, id="outlived its token"),
        pytest.param(ENDING, copy(7, ENDING), None, id="ending, but still its own"),
    ],
)
def test_each_cause(row: RowState, held: Header | None, cause: Drift | None) -> None:
    assert drift(row, held, NOW) == cause
