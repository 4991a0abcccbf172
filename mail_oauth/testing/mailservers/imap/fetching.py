"""What FETCH asks for, and the answer (RFC 3501 sections 6.4.5 and 7.4.2)."""

import imaplib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from mail_oauth.testing.mailservers.imap.envelope import envelope, fields, literal, split
from mail_oauth.testing.mailservers.imap.syntax import Argument, BadCommand
from mail_oauth.testing.mailservers.postoffice import Message

Show = Callable[[Message], bytes]

_MOST_ITEMS: Final = 16


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to tell of a message, by its label; some make it seen."""

    label: bytes
    show: Show
    marks: bool = False


def _flags(message: Message) -> bytes:
    return b"(\\Seen)" if message.seen else b"()"


def _arrived(message: Message) -> bytes:
    return imaplib.Time2Internaldate(message.arrived).encode()


_ITEMS: Final[Mapping[str, Item]] = {
    "FLAGS": Item(b"FLAGS", _flags),
    "UID": Item(b"UID", lambda message: b"%d" % message.uid),
    "INTERNALDATE": Item(b"INTERNALDATE", _arrived),
    "ENVELOPE": Item(b"ENVELOPE", lambda message: envelope(message.content)),
    "RFC822.SIZE": Item(b"RFC822.SIZE", lambda message: b"%d" % len(message.content)),
    "RFC822": Item(b"RFC822", lambda message: literal(message.content), marks=True),
    "RFC822.HEADER": Item(b"RFC822.HEADER", lambda message: literal(split(message.content)[0])),
    "RFC822.TEXT": Item(b"RFC822.TEXT", lambda message: literal(split(message.content)[1]), marks=True),
}
_MACROS: Final[Mapping[str, tuple[str, ...]]] = {
    "ALL": ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"),
    "FAST": ("FLAGS", "INTERNALDATE", "RFC822.SIZE"),
}
_SECTION: Final = re.compile(
    r"BODY(?P<peek>\.PEEK)?\[(?P<section>[^\]]*)\](?:<(?P<first>[0-9]{1,9})\.(?P<count>[0-9]{1,9})>)?",
    re.IGNORECASE,
)
_FIELDS: Final = re.compile(r"HEADER\.FIELDS(?P<others>\.NOT)? \((?P<names>[!-'*-9;-~ ]+)\)", re.IGNORECASE)


def items(asked: Argument, *, with_uid: bool = False) -> list[Item]:
    """What is asked for. Raises `BadCommand` for what this responder does not know."""
    words = asked if isinstance(asked, tuple) else (asked,)
    if not isinstance(asked, tuple) and isinstance(asked, str):
        words = _MACROS.get(asked.upper(), (asked,))
    if not words or len(words) > _MOST_ITEMS:
        raise BadCommand("FETCH wants some items, not too many.")
    found = [_item(each) for each in words]
    if with_uid and all(each.label != b"UID" for each in found):
        found.insert(0, _ITEMS["UID"])
    return found


def _item(asked: Argument) -> Item:
    if not isinstance(asked, str):
        raise BadCommand("An item of FETCH is an atom.")
    known = _ITEMS.get(asked.upper())
    section = None if known else _SECTION.fullmatch(asked)
    if known:
        return known
    if section is None:
        raise BadCommand("This server does not know such an item.")
    part = _part(section["section"])
    label = f"BODY[{section['section']}]"
    if section["first"] is not None:
        first, count = int(section["first"]), int(section["count"])
        label += f"<{first}>"
        return Item(
            label.encode(), lambda message: literal(part(message)[first : first + count]), not section["peek"]
        )
    return Item(label.encode(), lambda message: literal(part(message)), not section["peek"])


def _part(section: str) -> Show:
    """The bytes of a message that a section names."""
    whole: dict[str, Show] = {
        "": lambda message: message.content,
        "HEADER": lambda message: split(message.content)[0],
        "TEXT": lambda message: split(message.content)[1],
    }
    if section.upper() in whole:
        return whole[section.upper()]
    found = _FIELDS.fullmatch(section)
    if found is None:
        raise BadCommand("This server does not know such a section.")
    names, others = found["names"].lower().encode().split(), bool(found["others"])

    def show(message: Message) -> bytes:
        every = fields(split(message.content)[0])
        return b"".join(raw for name, raw in every if (name in names) is not others) + b"\r\n"

    return show


def told(number: int, message: Message, asked: list[Item], *, marking: bool) -> bytes:
    """The answer for one message; with ``marking``, it has been seen by that if an item says so."""
    if marking and not message.seen and any(each.marks for each in asked):
        message.seen = True
        if all(each.label != b"FLAGS" for each in asked):
            asked = [*asked, _ITEMS["FLAGS"]]  # section 6.4.5: a change of flags is told
    pairs = b" ".join(each.label + b" " + each.show(message) for each in asked)
    return b"* %d FETCH (%b)" % (number, pairs)
