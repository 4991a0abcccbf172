"""Mistakes over one entry end with that entry; a database, a Redis or a setting that fails ends the run."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db import DatabaseError, DataError, IntegrityError, InterfaceError
from django_redis.exceptions import ConnectionInterrupted
from redis import RedisError

from mail_oauth.exceptions import ConfigurationError
from mail_oauth.moving.entries import Found, SourceError, Unreadable
from mail_oauth.moving.outcomes import Outcome

logger = logging.getLogger(__name__)

ENDS_THE_RUN = (
    DatabaseError,
    InterfaceError,
    RedisError,
    ConnectionInterrupted,
    OSError,
    ConfigurationError,
    SourceError,
    MemoryError,
)
"""What no entry is to blame for: the run ends, and is begun again once that is mended."""

REFUSALS = (DataError, IntegrityError)
"""What a database says of a value."""


def ends_the_run(error: Exception) -> bool:
    """Tell whether an error that came while entries were saved is none of theirs; a value that a database refuses is."""
    return isinstance(error, ENDS_THE_RUN) and not isinstance(error, REFUSALS)


def fault_of(error: Exception) -> dict[str, Any]:
    """Return the outcome of the one entry that was being saved when an error came that does not end the run."""
    if isinstance(error, REFUSALS):
        return {"outcome": Outcome.REFUSED, "reason": type(error).__name__}
    return {"outcome": Outcome.UNREADABLE, "reason": unexpected(error)}


def unexpected(error: Exception) -> str:
    """Log what an entry has met that nobody had thought of, and return the code for its report.

    Both name the kind of the error; the log also where in the code it arose. Its message may quote the entry: nobody sees it.
    """
    kind = type(error).__name__
    places = [
        (Path(frame.f_code.co_filename).name, line) for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    place = " > ".join(f"{name}:{line}" for name, line in places)
    about = {"action": "import", "outcome": "unexpected", "error": kind, "place": place}
    logger.error("an entry could not be read: %s at %s", kind, place, extra=about)
    return f"unexpected {kind}"


def apart(where: str, read: Callable[[], list[Found]]) -> list[Found]:
    """Return what `read` finds at `where`. Raises only what ends the run."""
    try:
        return read()
    except ENDS_THE_RUN:
        raise
    except Exception as error:  # noqa: BLE001  # whatever it is, the next entry is not to blame
        return [Unreadable(where=where, reason=unexpected(error))]
