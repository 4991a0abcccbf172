"""What happened at the fake provider: calls without secrets, and apart from them every secret."""

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

SHORTEST_SECRET: Final = 8
MOST_CALLS: Final = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to an endpoint; it holds no token, code or secret.

    ``status`` is ``None`` when the connection was closed without a reply, ``error`` the OAuth error that was
    answered, ``fault`` the name of the fault that struck, ``at`` seconds since the epoch.
    """

    endpoint: str
    personality: str
    grant_type: str | None
    client_id: str | None
    email: str | None
    status: int | None
    error: str | None
    fault: str | None
    at: float


class Recorder:
    """A thread-safe record; readers get copies. Of calls it keeps the last 200,000."""

    def __init__(self, *, keep_secrets: bool = True) -> None:
        self._keep_secrets = keep_secrets
        self._lock = threading.Lock()
        self._calls: deque[Call] = deque(maxlen=MOST_CALLS)
        self._secrets: set[str] = set()

    def note(self, call: Call) -> None:
        """Add a call."""
        with self._lock:
            self._calls.append(call)

    def keep(self, secrets: Iterable[object]) -> None:
        """Add secrets; what is no text, or too short to be looked for in a log, is left out."""
        if not self._keep_secrets:
            return
        found = {each for each in secrets if isinstance(each, str) and len(each) >= SHORTEST_SECRET}
        with self._lock:
            self._secrets |= found

    def calls(self) -> list[Call]:
        """Every call so far, oldest first."""
        with self._lock:
            return list(self._calls)

    def secrets(self) -> frozenset[str]:
        """Every secret so far."""
        with self._lock:
            return frozenset(self._secrets)

    def clear_calls(self) -> None:
        """Forget the calls, not the secrets."""
        with self._lock:
            self._calls.clear()
