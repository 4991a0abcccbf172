"""Headers of mail as text: whatever stands in them, a line of printable text comes out."""

from __future__ import annotations

from email.parser import BytesHeaderParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from example_project.headers import LONGEST, moment_in, sender_in, text_in

CHARSETS = ["utf-8", "utf-16", "latin-1", "x-unknown", "hex", "punycode", "utf-7", "\0", ""]
WORDS = st.builds("=?{}?{}?{}?=".format, st.sampled_from(CHARSETS), st.sampled_from("qbQx"), st.text(max_size=20))
FIELDS = st.binary(max_size=200) | st.lists(WORDS | st.text(max_size=20), max_size=5).map(
    lambda words: " ".join(words).encode("utf-8", "replace")
)


def field(raw: bytes):
    return BytesHeaderParser().parsebytes(b"X: " + raw.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n\n")["X"]


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?q?Gr=C3=BC=C3=9Fe?= aus =?iso-8859-1?b?S/ZsbgA=?=", "Grüße aus Köln"),
        (b"=?x-unknown?q?caf=C3=A9?=", "café"),
        (b"=?utf-8?b?a?=", "=?utf-8?b?a?="),
        ("roh: Grüße".encode(), "roh: Grüße"),
        ("gpj.\u202eexe".encode(), "gpj. exe"),
        (b"=?utf-8?q?a=0D=0Ab=00c?=", "a b c"),
        (b"x" * 5000, "x" * LONGEST + "…"),
    ],
)
def test_subjects(raw, told):
    assert text_in(field(raw)) == told


@pytest.mark.parametrize(
    ("raw", "name", "address"),
    [
        (b'"O\'Hara, J" <j@x.example>', "O'Hara, J", "j@x.example"),
        (b"=?utf-8?q?Zo=C3=AB?= <zoe@x.example>", "Zoë", "zoe@x.example"),
        (b"zoe@x.example", "", "zoe@x.example"),
        (b"(" * 5000, "", ""),
        (b"", "", ""),
    ],
)
def test_senders(raw, name, address):
    assert sender_in(field(raw)) == (name, address)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"Mon, 6 May 2024 10:00:00 +0200", "2024-05-06T08:00:00+00:00"),
        (b"Mon, 6 May 2024 10:00:00", "2024-05-06T10:00:00+00:00"),
        (b"Fri, 31 Dec 9999 23:59:59 -1200", None),
        (b"Mon, 32 May 2024 10:00:00 +0200", None),
        (b"Mon, 6 May 2024 10:00:00 +999999", None),
        (b"now", None),
        (b"", None),
    ],
)
def test_dates(raw, told):
    moment = moment_in(field(raw))
    assert (moment.isoformat() if moment else None) == told


@pytest.mark.fuzz
@given(FIELDS)
@example(b"=?utf-8?b?" + b"A" * 4999 + b"?=")
def test_whatever_stands_there(raw):
    value = field(raw)
    for told in (text_in(value), *sender_in(value)):
        assert told.isprintable()
        assert len(told) <= LONGEST + 1
    moment_in(value)
    assert (text_in(None), sender_in(None), moment_in(None)) == ("", ("", ""), None)
