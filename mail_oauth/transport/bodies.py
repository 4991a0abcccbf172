"""Reading the JSON objects that providers send: within bounds, and the same whatever parser comes next (RFC 8259)."""

from __future__ import annotations

import json
import re
from array import array
from codecs import BOM_UTF8
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

MAX_DEPTH = 64
"""How deep arrays and objects may lie in each other. Python's own limit depends on who calls, and on its version."""

_LONGEST_INTEGER = 18
"""In digits. Python refuses to read integers of thousands, and calculates with them for ever."""

_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")  # as signed bytes: one down, one up
_OTHERS = bytes(set(range(256)) - set(b"[]{}"))


class BadBody(ValueError):
    """A body that is no usable JSON object; `reason` is a code."""

    def __init__(self, reason: str) -> None:
        """Name what is wrong."""
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Body:
    """A JSON object as it was sent.

    `flaw` is the code of what no body may have and yet does not hide what it says: `byte_order_mark`, `encoding`
    (not UTF-8: what could not be read is U+FFFD). Empty where nothing is wrong.
    """

    fields: dict[str, Any]
    flaw: str = ""


def read_object(body: bytes) -> Body:
    """Read a JSON object. Raises `BadBody`: `not_json`, `too_deep`, `not_an_object`."""
    text, flaw = _text_of(body)
    try:
        fields = _DECODER.decode(text)
    except RecursionError:
        raise BadBody("too_deep") from None
    except ValueError:
        raise BadBody("not_json") from None
    if not isinstance(fields, dict):
        raise BadBody("not_an_object")
    if not _is_shallow(text):
        raise BadBody("too_deep")
    return Body(fields, flaw)


def _text_of(body: bytes) -> tuple[str, str]:
    """Return a body as text, and its flaw: whoever wrote it in another encoding may still have said what matters."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return body.decode(json.detect_encoding(body), "replace").removeprefix("\ufeff"), "encoding"
    if body.startswith(BOM_UTF8):
        return text[1:], "byte_order_mark"
    if "\x00" in text[:4]:  # UTF-16 or UTF-32 without a mark, all in ASCII
        return body.decode(json.detect_encoding(body), "replace"), "encoding"
    return text, ""


def _is_shallow(text: str) -> bool:
    """Tell whether the brackets of a text that is JSON lie no deeper than `MAX_DEPTH`."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return True
    brackets = _STRING.sub("", text).encode().translate(_STEPS, _OTHERS)
    return max(accumulate(array("b", brackets)), default=0) <= MAX_DEPTH


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else float(digits)


_DECODER = json.JSONDecoder(parse_int=_integer)
