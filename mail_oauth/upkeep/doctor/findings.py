"""What a probe finds, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    SKIPPED = "skipped"
    """It was not looked at, or could not be; `what` says why."""
    WARNING = "warning"
    ERROR = "error"

    @property
    def rank(self) -> int:
        """Its place from harmless to bad."""
        return list(Level).index(self)


class Outcome(NamedTuple):
    """What a probe says: how bad it is, what it saw, and the line to write or the thing to do.

    `subject` is what it is about, where that is not the subject of the whole round.
    """

    level: Level
    what: str
    hint: str = ""
    subject: str = ""


def fine(what: str, subject: str = "") -> Outcome:
    """All is well."""
    return Outcome(Level.OK, what, subject=subject)


def unknown(what: str, hint: str = "", subject: str = "") -> Outcome:
    """It cannot be told."""
    return Outcome(Level.SKIPPED, what, hint, subject)


def doubtful(what: str, hint: str, subject: str = "") -> Outcome:
    """Something works, and not for long, or not as it should."""
    return Outcome(Level.WARNING, what, hint, subject)


def wrong(what: str, hint: str, subject: str = "") -> Outcome:
    """Something does not work."""
    return Outcome(Level.ERROR, what, hint, subject)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One line of a doctor's report. `id` is stable; `milliseconds` is how long the look took. Holds no secret."""

    id: str
    subject: str
    level: Level
    what: str
    hint: str = ""
    milliseconds: float = 0.0
