"""Finding secrets in all that was written: every secret, in every spelling, in one pass.

A spelling is looked for by fifteen bytes of it. Wherever those stand, eight of them fill one of the aligned blocks of
eight into which a text can be cut; so it is enough to look each block up in a set of the eight that are possible.
That is one look for eight bytes of text however many secrets there are, and misses nothing. What it turns up is then
looked for word for word.
"""

from __future__ import annotations

import base64
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from urllib.parse import quote, quote_plus

SHORTEST = 16
"""What is shorter stands in texts by chance: tests make up words for a secret that is refused."""

FEWEST = 8
"""Of how many different characters a secret is made: tests make up long ones of a single letter."""

LONGEST_WHOLE = 64
END = 40
"""Of a longer one its first or its last so many characters are enough: logs and pages cut long values."""

_CORE, _BLOCK = 15, 8


@dataclass(frozen=True)
class Secret:
    """A secret, or the end of a long one, and the field that it came in."""

    kind: str
    text: bytes


def pieces(kind: str, secret: str) -> Iterator[Secret]:
    """What must be found nowhere, of one secret."""
    text = secret.encode("utf-8", "backslashreplace")
    parts = [text] if len(text) <= LONGEST_WHOLE else [text[-END:], text[:END]]
    if len(parts) == 2 and text.startswith(b"eyJ"):  # a JWT's beginning is the same in all of one key
        del parts[1]
    yield from (Secret(kind, part) for part in parts if len(part) >= SHORTEST and len(set(part)) >= FEWEST)


def spellings(text: bytes) -> dict[bytes, str]:
    """Every way to write a secret, with the way's name. In base64, what else was encoded with it stands around it."""
    plain = text.decode("utf-8", "replace")
    found = {text: "raw"}
    for name, spelling in (
        ("in a URL", quote(plain, safe="")),
        ("in a form", quote_plus(plain)),
        ("in HTML", escape(plain)),
        ("in JSON", json.dumps(plain)[1:-1]),
        ("in hex", text.hex()),
        ("in hex", text.hex().upper()),
    ):
        found.setdefault(spelling.encode(), name)
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + text)
        known = encoded[-(-8 * before // 6) : 8 * (before + len(text)) // 6]
        found.setdefault(known, "in base64")
        found.setdefault(known.translate(bytes.maketrans(b"+/", b"-_")), "in base64")
    return found


class Index:
    """The secrets of a run, ready to be looked for. ``secrets`` are pairs of a field's name and what came in it."""

    def __init__(self, secrets: Iterable[tuple[str, str]] = ()) -> None:
        self._pieces: dict[bytes, Secret] = {}
        self._first: dict[int, Secret] = {}
        """By block, the piece that it may be of; where it may be of several, the first."""
        self._others: defaultdict[int, set[Secret]] = defaultdict(set)
        self._known: dict[int, list[tuple[Secret, bytes, str]]] = {}
        self.add(secrets)

    def __len__(self) -> int:
        return len(self._pieces)

    def add(self, secrets: Iterable[tuple[str, str]]) -> None:
        """Look for more of them."""
        self._known.clear()
        for piece in (piece for kind, secret in secrets for piece in pieces(kind, secret)):
            if self._pieces.setdefault(piece.text, piece) is not piece:
                continue
            for block in {block for spelling in spellings(piece.text) for block in _blocks(spelling)}:
                if self._first.setdefault(block, piece) is not piece:
                    self._others[block].add(piece)

    def find(self, texts: bytes) -> Iterator[tuple[int, Secret, str]]:
        """Where in `texts` a secret stands, which, and in what spelling."""
        whole = len(texts) // _BLOCK * _BLOCK
        with memoryview(texts) as view, view[:whole].cast("Q") as numbers:
            hits = self._first.keys() & numbers
            places = [(at * _BLOCK, block) for at, block in enumerate(numbers) if block in hits] if hits else []
        for place, block in places:
            for piece, spelling, name in self._spellings_with(block):
                start = texts.find(spelling, max(place - len(spelling), 0), place + len(spelling))
                if start >= 0:
                    yield start, piece, name

    def _spellings_with(self, block: int) -> list[tuple[Secret, bytes, str]]:
        """Return the spellings that a block may be of; found out once, since many texts share it."""
        if block not in self._known:
            self._known[block] = [
                (piece, spelling, name)
                for piece in (self._first[block], *self._others.get(block, ()))
                for spelling, name in spellings(piece.text).items()
                if block in _blocks(spelling)
            ]
        return self._known[block]


def _blocks(spelling: bytes) -> Iterator[int]:
    """The aligned blocks of which one must stand in a text, if the spelling does."""
    core = spelling[-_CORE:]
    return (int.from_bytes(core[at : at + _BLOCK], sys.byteorder) for at in range(_CORE - _BLOCK + 1))
