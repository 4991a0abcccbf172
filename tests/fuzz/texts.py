"""What attackers and broken servers write: odd values, odd JSON, odd bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

ODD_TEXT = [
    "",
    " ",
    "\x00",
    "a\x00b",
    "a\r\nb",
    "a\x01b",
    "\x7f",
    "\ud800",
    "\udfff",
    "\ufeff",
    "\u202e",
    "\u2028",
    "é",
    "\uff41",
    "\U0001f600",
    "null",
    "None",
    "true",
    "0",
    "-1",
    "1e400",
    "nan",
    "Infinity",
    "1_000",
    "٣٦٠٠",
    "%00",
    "%s%n",
    "{0}",
    "{tenantid}",
    "${x}",
    "{{7*7}}",
    "' OR 1=1 --",
    "<script>alert(1)</script>",
    "../../etc/passwd",
    "https://evil.example/",
    "javascript:alert(1)",
    "x" * 300,
    "x" * 5000,
    "x" * 140_000,
]
ODD_VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    10**30,
    10**400,
    -(10**400),
    1.5,
    1e300,
    float("nan"),
    float("inf"),
    float("-inf"),
    [],
    {},
    [[]],
    [None],
    ["x"],
    {"x": {}},
    [0] * 1000,
    *ODD_TEXT,
]

odd_text = st.sampled_from(ODD_TEXT) | st.text(max_size=12)
odd_value = st.sampled_from(ODD_VALUES) | st.text(max_size=12) | st.integers() | st.floats()


@st.composite
def changed(
    draw: st.DrawFn, base: dict[str, Any], names: list[str], known: dict[str, list[Any]] | None = None
) -> Any:
    """An object like `base` in which a few members are odd, missing, or others'."""
    fields, likely = dict(base), known or {}
    for _ in range(draw(st.integers(0, 3))):
        name = draw(st.sampled_from(names))
        what = draw(st.integers(0, 3))
        if what == 0:
            fields.pop(name, None)
        elif what == 1 and name in likely:
            fields[name] = draw(st.sampled_from(likely[name]))
        else:
            fields[name] = draw(odd_value)
    return fields


def _dumps(value: Any, *, ascii_only: bool) -> bytes:
    return json.dumps(value, ensure_ascii=ascii_only).encode(errors="surrogatepass")


_BEFORE = [b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00", b")]}',\n", b" \r\n\t"]
_BEHIND = [b"\x00", b"}", b"{}", b"\n", b" ", b"\xff", b"<html>", b","]
_ENCODINGS = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "cp037"]


def _deep(draw: st.DrawFn, body: bytes) -> bytes:
    depth = draw(st.sampled_from([10, 62, 63, 64, 65, 100, 995, 5000]))
    return body[:-1] + b', "deep": ' + b"[" * depth + b"]" * depth + b"}"


def _endless_number(draw: st.DrawFn, body: bytes) -> bytes:
    digits = b"9" * draw(st.sampled_from([18, 19, 400, 4300, 4301, 20_000]))
    return body[:-1] + b', "expires_in": ' + draw(st.sampled_from([b"", b"-"])) + digits + b"}"


def _doubled(draw: st.DrawFn, body: bytes) -> bytes:
    name = draw(
        st.sampled_from(["access_token", "refresh_token", "error", "token_type", "keys", "issuer", "sub", "x"])
    )
    return body[:-1] + b"," + _dumps({name: draw(odd_value)}, ascii_only=True)[1:]


_ILL_WAYS: list[Callable[[st.DrawFn, bytes], bytes]] = [
    lambda draw, body: draw(st.sampled_from(_BEFORE)) + body,
    lambda draw, body: body + draw(st.sampled_from(_BEHIND)),
    lambda draw, body: body[: draw(st.integers(0, len(body)))],
    lambda draw, body: body.decode(errors="replace").encode(draw(st.sampled_from(_ENCODINGS)), "replace"),
    lambda draw, body: body.replace(b'"', b"'"),
    lambda draw, body: b"[" + body + b"]",
    lambda draw, body: json.dumps(body.decode(errors="replace")).encode(),
    lambda draw, body: draw(spoiled(body)),
    lambda draw, body: draw(spoiled(body)),
    _deep,
    _endless_number,
    _doubled,
]


@st.composite
def written(draw: st.DrawFn, value: dict[str, Any]) -> bytes:
    """An object as JSON, mostly well written."""
    body = _dumps(value, ascii_only=draw(st.booleans()))
    if draw(st.integers(0, 9)) < 6:
        return body
    return draw(st.sampled_from(_ILL_WAYS))(draw, body)


@st.composite
def spoiled(draw: st.DrawFn, body: bytes) -> bytes:
    """Bytes of which a few were changed on the way."""
    spoilt = bytearray(body)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(spoilt) - 1, 0)))
        what = draw(st.integers(0, 2))
        if what == 0 and spoilt:
            spoilt[at] = draw(st.integers(0, 255))
        elif what == 1:
            spoilt[at:at] = draw(st.binary(max_size=4))
        else:
            del spoilt[at : at + draw(st.integers(1, 8))]
    return bytes(spoilt)
