"""What was seen on a simulated day, second by second, in simulated mailboxes."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from benchmarks.simulation.lane import Lane
from benchmarks.simulation.scenario import HOUR, Scenario


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A day. `calls` are by app; `on_demand` of them were made for callers.

    `refused` callers got an error. `postponed` mailboxes were claimed although their lane was held, at two writes
    each. `oldest`: for how many seconds the longest due mailbox has waited.
    """

    scenario: Scenario
    lanes: tuple[Lane, ...]
    calls: tuple[array[int], ...]
    on_demand: array[int]
    refused: array[int]
    postponed: array[int]
    backlog: array[int]
    oldest: array[int]
    expired: array[int]

    @classmethod
    def blank(cls, scenario: Scenario) -> Record:
        """Begin a day."""
        seconds = scenario.hours * HOUR
        zeros = array("l", [0]) * seconds
        fields = ("on_demand", "refused", "postponed", "backlog", "oldest", "expired")
        return cls(
            scenario=scenario,
            lanes=tuple(Lane(scenario.weight) for _ in scenario.apps),
            calls=tuple(array("l", zeros) for _ in scenario.apps),
            **{field: array("l", zeros) for field in fields},
        )

    def loads(
        self, seconds: int, *, begin: int = 0, end: int | None = None, app: int | None = None
    ) -> list[float]:
        """Return calls per second, averaged over intervals of `seconds`, of one app or of all."""
        chosen = self.calls if app is None else self.calls[app : app + 1]
        end = len(self.oldest) if end is None else end
        weight = self.scenario.weight / seconds
        starts = range(begin, end - seconds + 1, seconds)
        return [sum(sum(calls[at : at + seconds]) for calls in chosen) * weight for at in starts]

    def mean(self, begin: int, end: int, app: int | None = None) -> float:
        """Return calls per second from one second to another."""
        return self.loads(end - begin, begin=begin, end=end, app=app)[0]

    def recovered_at(self) -> int | None:
        """Return from when on, after the outage began, no token was expired; None if that was not on this day."""
        last = next((now for now in reversed(range(len(self.expired))) if self.expired[now]), 0)
        return max(last + 1, self.scenario.outage.ends_at) if last + 1 < len(self.expired) else None
