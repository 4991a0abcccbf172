"""Messages, and the conversations that they make (RFC 5322 section 3.6.4). Headers are hostile input."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from example_project.headers import moment_in, sender_in, text_in

LONGEST_TEXT = 10_000
MOST_REFERENCES = 20
_ID = re.compile(r"<[!-;=?-~]{1,250}>")
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """A message; all of it is plain text that somebody else has written."""

    id: str
    follows: tuple[str, ...]
    sender: str
    address: str
    answer_to: str
    subject: str
    sent: datetime | None
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversation:
    """Letters that answer one another, oldest first."""

    key: str
    letters: list[Letter]
    open: bool
    """Whether the last word is somebody else's."""

    @property
    def subject(self) -> str:
        """What the first letter calls it."""
        return self.letters[0].subject

    @property
    def question(self) -> Letter:
        """The letter to answer: the last of somebody else's, or simply the last."""
        own = self.letters[-1].address if not self.open else ""
        return next((each for each in reversed(self.letters) if each.address != own), self.letters[-1])


def letter_of(content: bytes) -> Letter:
    """Read a message."""
    plain = message_from_bytes(content)  # whose fields are as they were sent; the newer policy raises on odd ones
    sender, address = sender_in(plain["From"])
    ids = _ID.findall(str(plain["References"] or "")) + _ID.findall(str(plain["In-Reply-To"] or ""))
    found = _ID.search(str(plain["Message-ID"] or ""))
    return Letter(
        id=found[0] if found else f"<{hashlib.sha256(content).hexdigest()}@no-id.invalid>",
        follows=tuple(dict.fromkeys(ids))[-MOST_REFERENCES:],
        sender=sender,
        address=address,
        answer_to=sender_in(plain["Reply-To"])[1] or address,
        subject=text_in(plain["Subject"]),
        sent=moment_in(plain["Date"]),
        text=_text(content),
    )


def conversations(letters: Iterable[Letter], own: str) -> list[Conversation]:
    """Gather letters, the conversation with the newest one first; ``own`` is the mailbox's address."""
    roots: dict[str, str] = {}
    gathered: dict[str, list[Letter]] = {}
    for letter in sorted(letters, key=lambda each: each.sent or _LONG_AGO):
        known = (roots[each] for each in (letter.id, *letter.follows) if each in roots)
        root = next(known, letter.follows[0] if letter.follows else letter.id)
        roots |= dict.fromkeys((letter.id, *letter.follows), root)
        gathered.setdefault(root, []).append(letter)
    found = [
        Conversation(key=_key(root), letters=each, open=each[-1].address.lower() != own.lower())
        for root, each in gathered.items()
    ]
    return sorted(found, key=lambda each: each.letters[-1].sent or _LONG_AGO, reverse=True)


def _key(root: str) -> str:
    """A conversation's name in URLs."""
    return hashlib.sha256(root.encode()).hexdigest()[:24]


def _text(content: bytes) -> str:
    """The plain text of a message, cut; empty where it has none that can be read."""
    try:
        message = message_from_bytes(content, EmailMessage, policy=default)
        part = message.get_body(("plain",))
        text = part.get_content() if part else ""
    except (LookupError, ValueError, AttributeError, TypeError, IndexError, RecursionError):
        return ""  # a charset that nobody knows, or parts that are none
    return str(text).strip()[:LONGEST_TEXT]
