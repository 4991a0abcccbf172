"""What happened at the fake provider: calls without secrets, and apart from them every secret."""

import json
import os
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

SHORTEST_SECRET: Final = 8
MOST_CALLS: Final = 200_000

SECRETS_FILE: Final = "FAKE_PROVIDER_SECRETS"
"""An environment variable: the file to which each provider, in whatever process, adds what it issues or is sent."""


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
    """A thread-safe record; readers get copies. Of calls it keeps the last 200,000.

    Where the environment names a `SECRETS_FILE`, each secret also becomes a line of it: a JSON list of the field
    that it stood in and the secret. So a test run can search its logs for what providers in other processes issued.
    """

    def __init__(self, *, keep_secrets: bool = True) -> None:
        self._keep_secrets = keep_secrets
        self._file = os.environ.get(SECRETS_FILE)
        self._lock = threading.Lock()
        self._calls: deque[Call] = deque(maxlen=MOST_CALLS)
        self._secrets: dict[str, str] = {}

    def note(self, call: Call) -> None:
        """Add a call."""
        with self._lock:
            self._calls.append(call)

    def keep(self, secrets: Iterable[tuple[str, object]]) -> None:
        """Add secrets, each with its field's name; what is no text, or too short to be looked for, is left out."""
        found = {each: name for name, each in secrets if isinstance(each, str) and len(each) >= SHORTEST_SECRET}
        if self._file and found:
            _append(self._file, [[name, each] for each, name in found.items()])
        if self._keep_secrets:
            with self._lock:
                self._secrets |= found

    def calls(self) -> list[Call]:
        """Every call so far, oldest first."""
        with self._lock:
            return list(self._calls)

    def secrets(self) -> dict[str, str]:
        """Every secret so far, with the field that it stood in."""
        with self._lock:
            return dict(self._secrets)

    def clear_calls(self) -> None:
        """Forget the calls, not the secrets."""
        with self._lock:
            self._calls.clear()


def _append(path: str, lines: list[list[str]]) -> None:
    """Add lines in one write, which no other process's write can part."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, "".join(json.dumps(line) + "\n" for line in lines).encode())
    finally:
        os.close(handle)
