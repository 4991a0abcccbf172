"""Where mail lies: an INBOX for each address, in memory, and what SMTP took."""

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

MOST_MESSAGES: Final = 500
"""In one mailbox; the oldest go."""

MOST_TAKEN: Final = 1000

_LINE_END: Final = re.compile(rb"\r?\n|\r")


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A message that SMTP took: its envelope and its bytes."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes = field(repr=False)


@dataclass(slots=True, kw_only=True)
class Message:
    """A message in a mailbox; `seen` is the one flag that it can have."""

    uid: int
    content: bytes = field(repr=False)
    arrived: datetime
    seen: bool = False


class _Box:
    def __init__(self) -> None:
        self.messages: deque[Message] = deque(maxlen=MOST_MESSAGES)
        self.next_uid = 1

    def put(self, content: bytes) -> None:
        """Take a message, as it is shown from then on."""
        # IMAP has no way to send NUL (RFC 3501 section 9, CHAR8), and sends lines as they were sent to it.
        clean = _LINE_END.sub(b"\r\n", content.replace(b"\0", b""))
        self.messages.append(Message(uid=self.next_uid, content=clean, arrived=datetime.now(UTC)))
        self.next_uid += 1


class PostOffice:
    """Every mailbox; thread-safe. ``seeds`` gives what lies in one when it is first seen."""

    def __init__(self, seeds: Callable[[str], Iterable[bytes]]) -> None:
        self._seeds = seeds
        self._lock = threading.Lock()
        self._boxes: dict[str, _Box] = {}
        self._taken: deque[Taken] = deque(maxlen=MOST_TAKEN)
        self.uid_validity = int(
            time.time()
        )  # memory is no mailbox that anybody knows from before (section 2.3.1.1)

    def deliver(self, address: str, content: bytes) -> None:
        """Put a message into the mailbox of an address."""
        with self._lock:
            self._box(address).put(content)

    def messages(self, address: str) -> list[Message]:
        """The messages of an address, oldest first; the list is a copy."""
        with self._lock:
            return list(self._box(address).messages)

    def next_uid(self, address: str) -> int:
        """The number that the next message will have."""
        with self._lock:
            return self._box(address).next_uid

    def take(self, taken: Taken) -> None:
        """Remember what SMTP took: the last thousand."""
        with self._lock:
            self._taken.append(taken)

    def taken(self) -> list[Taken]:
        """What SMTP took, oldest first."""
        with self._lock:
            return list(self._taken)

    def _box(self, address: str) -> _Box:
        box = self._boxes.get(address.lower())
        if box is None:
            box = self._boxes[address.lower()] = _Box()
            for content in self._seeds(address):
                box.put(content)
        return box
