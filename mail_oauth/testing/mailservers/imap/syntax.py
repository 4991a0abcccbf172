"""IMAP commands as they are written (RFC 3501 section 9): from bytes to a name and arguments. Pure functions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

LONGEST_LINE: Final = 64 * 1024
LARGEST_COMMAND: Final = 256 * 1024
"""With its literals."""

_MOST_ARGUMENTS: Final = 1000
_MOST_RANGES: Final = 500

Argument: TypeAlias = "str | bytes | tuple[Argument, ...]"
"""An atom, a string (quoted or literal), or a list."""


class BadCommand(ValueError):
    """What was sent is no command; the message is what its sender is told."""

    def __init__(self, message: str, tag: str = "*") -> None:
        super().__init__(message)
        self.tag = tag


@dataclass(frozen=True, slots=True)
class Command:
    """A command; its name is in capitals."""

    tag: str
    name: str
    arguments: tuple[Argument, ...]


_TAG: Final = re.compile(rb"[A-Za-z0-9!#$&',./:;<=>?@^_`|}~-]{1,64}(?= )")
_NAME: Final = re.compile(rb" ([A-Za-z]{1,20})(?=[ \r\n]|\Z)")
_SPACES: Final = re.compile(rb" *")
_LITERAL: Final = re.compile(rb"\{(?P<size>[0-9]{1,9})(?P<plus>\+?)\}\r?\n")
_LITERAL_AT_END: Final = re.compile(_LITERAL.pattern + rb"\Z")
# More than an atom may be is taken for one: flags, sequence sets, patterns of LIST, and sections with what is in them.
_TOKEN: Final = re.compile(
    rb"(?P<opens>\()|(?P<closes>\))"
    rb'|"(?P<quoted>(?:[^"\\\r\n\0]|\\["\\])*)"'
    rb"|(?P<atom>(?:\[[\x20-\x5c\x5e-\x7e]*\]|[\x21\x23-\x27\x2a-\x5a\x5c-\x7a\x7c-\x7e])+)"
)
_NUMBER: Final = r"(?:[1-9][0-9]{0,9}|\*)"
_SET: Final = re.compile(rf"{_NUMBER}(?::{_NUMBER})?(?:,{_NUMBER}(?::{_NUMBER})?)*")


def literal_at_end(line: bytes) -> tuple[int, bool] | None:
    """The size of the literal that a line announces, and whether its sender waits for a go-ahead (RFC 7888)."""
    found = _LITERAL_AT_END.search(line[-16:])
    return (int(found["size"]), not found["plus"]) if found else None


def parse(text: bytes) -> Command:
    """A whole command, with its literals. Raises `BadCommand`, which carries the tag as far as there is one."""
    tag = _TAG.match(text)
    if tag is None:
        raise BadCommand("A command begins with a tag.")
    name = _NAME.match(text, tag.end())
    if name is None:
        raise BadCommand("A tag is followed by a command.", tag[0].decode())
    end = len(text) - (2 if text.endswith(b"\r\n") else text.endswith(b"\n"))
    try:
        arguments = _arguments(text, name.end(), end)
    except BadCommand as bad:
        raise BadCommand(str(bad), tag[0].decode()) from None
    return Command(tag[0].decode(), name[1].decode().upper(), arguments)


def _arguments(text: bytes, position: int, end: int) -> tuple[Argument, ...]:
    open_lists: list[list[Argument]] = [[]]
    tokens = 0
    while (position := _skip_spaces(text, position)) < end:
        tokens += 1
        if tokens > _MOST_ARGUMENTS:
            raise BadCommand("There are too many arguments.")
        literal = _LITERAL.match(text, position)
        if literal:
            position = literal.end() + int(literal["size"])
            if position > end:
                raise BadCommand("A literal is shorter than announced.")
            open_lists[-1].append(text[literal.end() : position])
            continue
        token = _TOKEN.match(text, position, end)
        if token is None:
            raise BadCommand("An argument is no atom, string or list.")
        position = token.end()
        _take(token, open_lists)
    if len(open_lists) > 1:
        raise BadCommand("A list is not closed.")
    return tuple(open_lists[0])


def _skip_spaces(text: bytes, position: int) -> int:
    found = _SPACES.match(text, position)
    return found.end() if found else position


def _take(token: re.Match[bytes], open_lists: list[list[Argument]]) -> None:
    if token["opens"]:
        open_lists.append([])
    elif token["closes"]:
        if len(open_lists) == 1:
            raise BadCommand("A list is closed that was not opened.")
        closed = tuple(open_lists.pop())
        open_lists[-1].append(closed)
    elif token["quoted"] is not None:
        open_lists[-1].append(re.sub(rb"\\(.)", rb"\1", token["quoted"]))
    else:
        open_lists[-1].append(token["atom"].decode())


def word(arguments: Sequence[Argument], index: int) -> str:
    """An argument that is an atom, in capitals. Raises `BadCommand` for any other, or none."""
    found = arguments[index] if index < len(arguments) else None
    if not isinstance(found, str):
        raise BadCommand("An atom is missing.")
    return found.upper()


def name(arguments: Sequence[Argument], index: int) -> str:
    """An argument that is an atom or a string, as text. Raises `BadCommand` for any other, or none."""
    found = arguments[index] if index < len(arguments) else None
    if isinstance(found, bytes):
        return found.decode("utf-8", "replace")
    if not isinstance(found, str):
        raise BadCommand("A name is missing.")
    return found


def is_set(text: str) -> bool:
    """Whether an atom is a set of numbers."""
    return _SET.fullmatch(text) is not None


def chosen(text: str, existing: Sequence[int]) -> list[int]:
    """Those of the existing numbers, which ascend, that a set such as ``1,3:5,7:*`` names. Raises `BadCommand`."""
    parts = text.split(",")
    if not is_set(text) or len(parts) > _MOST_RANGES:
        raise BadCommand("A set of numbers is wrong, or too long.")
    last = existing[-1] if existing else 0
    ranges = []
    for part in parts:
        ends = [last if end == "*" else int(end) for end in part.split(":")]
        ranges.append((min(ends), max(ends)))
    return [each for each in existing if any(low <= each <= high for low, high in ranges)]
