"""Headers of mail as text for a page. They are hostile input: nothing that stands in one raises, or acts on the page."""

from __future__ import annotations

from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import Header, decode_header
from email.utils import parseaddr, parsedate_to_datetime

LONGEST = 200
"""In characters, of what is shown."""

_LONGEST_FIELD = 4000
"""Of what is taken apart."""

Field = str | Header | None
"""What `email` gives for a field: a `Header` where it holds raw bytes beyond ASCII, None where it is absent."""


def text_in(field: Field) -> str:
    """Return a field as one short line of printable text, its encoded words decoded (RFC 2047)."""
    if field is None:
        return ""
    try:
        parts = decode_header(field[:_LONGEST_FIELD] if isinstance(field, str) else field)
    except HeaderParseError:  # an encoded word that is no base64
        parts = [(str(field), None)]
    decoded = "".join(part if isinstance(part, str) else _decoded(part, charset) for part, charset in parts)
    # Control characters, and those that turn the direction of what follows, are none of what is printable.
    shown = " ".join("".join(each if each.isprintable() else " " for each in decoded).split())
    return shown if len(shown) <= LONGEST else shown[:LONGEST] + "…"


def _decoded(part: bytes, charset: str | None) -> str:
    try:
        return part.decode(charset or "ascii", "replace")
    except (LookupError, UnicodeError, ValueError):  # a charset that nobody knows, or no text one
        return part.decode("utf-8", "replace")


def sender_in(field: Field) -> tuple[str, str]:
    """Return the name and the address of a `From`; the name is the sender's word, and may be another's address."""
    try:
        name, address = parseaddr(str(field or "")[:_LONGEST_FIELD])
    except (RecursionError, IndexError, ValueError):  # comments within comments, and the like
        name, address = "", ""
    return text_in(name), text_in(address)


def moment_in(field: Field) -> datetime | None:
    """Return a `Date` in UTC; None for one that is absent or no date."""
    try:
        moment = parsedate_to_datetime(str(field or "")[:LONGEST])
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
