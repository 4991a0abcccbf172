"""When upkeep was last at work, noted in the shared cache: how anybody else can tell that beat and workers live.

A mark costs one write of the cache at the end of a task or command, and none of the database. A flushed cache loses
it: then it is not known, rather than long ago.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from mail_oauth import bulk
from mail_oauth.cache import cache_key, tolerantly, write_all
from mail_oauth.conf import app_settings

RESOURCE = "pulse"

KEPT_SECONDS = 7 * 24 * 3600
"""For how long a mark stays."""


def beat(work: str) -> None:
    """Note that `work` (the name of a task) was done just now."""
    mark = str(int(time.time())).encode()
    tolerantly(lambda: write_all({cache_key(work, RESOURCE): mark}, KEPT_SECONDS), None)


def last_beats(works: Sequence[str]) -> dict[str, datetime | None]:
    """Return when each was last done; None where no mark says so. Raises what the cache raises."""
    found = bulk.values(app_settings().cache, cache_key("", RESOURCE), works)
    return {
        work: datetime.fromtimestamp(int(mark), UTC) if mark.isdigit() else None
        for work, mark in zip(works, found, strict=True)
    }
