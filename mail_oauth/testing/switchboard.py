"""Which faults are armed now: how often, for whom, and whose turn it is."""

import itertools
import threading
from dataclasses import dataclass, replace

from mail_oauth.testing.faults import Fault, Scope
from mail_oauth.testing.messages import Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class Armed:
    """A fault in force; ``remaining`` is ``None`` while it is meant to last."""

    number: int
    fault: Fault
    scope: Scope
    remaining: int | None


class Switchboard:
    """The armed faults, oldest first. Each request takes at most one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._armed: dict[int, Armed] = {}

    def arm(self, fault: Fault, scope: Scope, *, times: int | None) -> int:
        """Put ``fault`` in force for ``times`` requests, or until `disarm`. Its number."""
        with self._lock:
            number = next(self._numbers)
            self._armed[number] = Armed(number=number, fault=fault, scope=scope, remaining=times)
            return number

    def disarm(self, number: int | None = None) -> None:
        """Lift one fault, or all of them."""
        with self._lock:
            if number is None:
                self._armed.clear()
            else:
                self._armed.pop(number, None)

    def pending(self) -> list[str]:
        """The names of the faults in force, oldest first."""
        with self._lock:
            return [armed.fault.name for armed in self._armed.values() if armed.remaining != 0]

    def take(self, facts: Facts) -> Armed | None:
        """The fault that strikes a request with these facts, used up once; ``None`` if there is none."""
        with self._lock:
            for armed in self._armed.values():
                if armed.remaining != 0 and armed.scope.covers(facts):
                    self._count(armed.number, -1)
                    return armed
            return None

    def give_back(self, armed: Armed) -> None:
        """Undo a `take`: the fault waits for a request that succeeds, and this one did not."""
        with self._lock:
            self._count(armed.number, +1)

    def _count(self, number: int, step: int) -> None:
        armed = self._armed.get(number)
        if armed is not None and armed.remaining is not None:
            self._armed[number] = replace(armed, remaining=armed.remaining + step)
