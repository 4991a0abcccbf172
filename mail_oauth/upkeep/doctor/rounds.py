"""Probes, and rounds of them: some on this thread, for they use its database connection, others side by side."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mail_oauth.upkeep.doctor.findings import Finding, Level, Outcome, unknown, wrong

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Probe:
    """One look. `what` says what it looks at, for the documentation.

    Where the probe that it `needs` has failed in the same round, or was skipped for that, it is skipped: what is away
    need not be found to be away five times.
    """

    id: str
    what: str
    look: Callable[[Any], Iterable[Outcome]]
    needs: str = ""


@dataclass(frozen=True, slots=True)
class Round:
    """Probes of one subject, one after the other. `about` is what each of them gets."""

    subject: str
    probes: tuple[Probe, ...]
    about: Any = None

    def walk(self) -> list[Finding]:
        """Look at everything; a probe that breaks is a finding, too."""
        findings: list[Finding] = []
        failed: set[str] = set()
        for probe in self.probes:
            found = self._one(probe, failed)
            findings += found
            if probe.needs in failed or any(each.level is Level.ERROR for each in found):
                failed.add(probe.id)
        return findings

    def overdue(self, seconds: float) -> list[Finding]:
        """Return what is found of a round that has not ended in time."""
        late = wrong(f"No answer within {seconds:.0f} s.", "See whether a firewall drops what is sent there.")
        return [self._finding(self.probes[0], late, seconds)]

    def _one(self, probe: Probe, failed: set[str]) -> list[Finding]:
        if probe.needs in failed:
            return [self._finding(probe, unknown(f"Not looked at, for want of {probe.needs}."), 0.0)]
        begun = time.monotonic()
        try:
            outcomes = list(probe.look(self.about))
        except Exception as error:
            logger.exception("probe %s failed", probe.id, extra={"action": "doctor"})
            broken = wrong(f"The probe itself failed ({type(error).__name__}).", "See the log of this command.")
            outcomes = [broken]
        seconds = time.monotonic() - begun
        return [self._finding(probe, outcome, seconds) for outcome in outcomes]

    def _finding(self, probe: Probe, outcome: Outcome, seconds: float) -> Finding:
        return Finding(
            id=probe.id,
            subject=outcome.subject or self.subject,
            level=outcome.level,
            what=outcome.what,
            hint=outcome.hint,
            milliseconds=round(seconds * 1000, 1),
        )


def foregone(subject: str, probe: Probe, outcome: Outcome) -> Round:
    """Return a round that needs no look: what a mistake in the settings has made of it is known before."""
    return Round(subject, (replace(probe, look=lambda _: (outcome,)),))


class Aside:
    """Rounds under way, each in a daemon thread: one that hangs must neither hold the others up nor the process."""

    def __init__(self, rounds: Sequence[Round]) -> None:
        """Begin all of them."""
        self._begun = time.monotonic()
        self._rounds = rounds
        self._found: dict[int, list[Finding]] = {}
        self._threads = [
            threading.Thread(target=self._walk, args=(number,), name="mail_oauth doctor", daemon=True)
            for number in range(len(rounds))
        ]
        for thread in self._threads:
            thread.start()

    def findings(self, seconds: float) -> list[Finding]:
        """Return what was found, in the order of the rounds, no later than so many seconds after they began."""
        for thread in self._threads:
            thread.join(max(self._begun + seconds - time.monotonic(), 0.0))
        walked = dict(self._found)
        findings: list[Finding] = []
        for number, each in enumerate(self._rounds):
            findings += walked[number] if number in walked else each.overdue(seconds)
        return findings

    def _walk(self, number: int) -> None:
        self._found[number] = self._rounds[number].walk()
