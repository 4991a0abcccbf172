"""Messages as IMAP shows them: strings, header fields, and the envelope (RFC 3501 sections 2.3.5 and 7.4.2)."""

import re
from collections.abc import Iterator
from email.utils import getaddresses
from typing import Final

_QUOTABLE: Final = re.compile(rb"[\x20-\x7e]{0,900}")
_FOLD: Final = re.compile(rb"\r\n(?=[ \t])")
_FIELD: Final = re.compile(rb"([\x21-\x39\x3b-\x7e]+)[ \t]*:")
_LONGEST_FIELD: Final = 4000
"""Of what is taken apart into addresses."""


def string(text: bytes | None) -> bytes:
    """A string, quoted where it can be, else as a literal; NIL for none."""
    if text is None:
        return b"NIL"
    if _QUOTABLE.fullmatch(text):
        return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    return literal(text)


def literal(text: bytes) -> bytes:
    """A string as a literal."""
    return b"{%d}\r\n%b" % (len(text), text)


def split(content: bytes) -> tuple[bytes, bytes]:
    """The header, with the empty line that ends it, and the body."""
    if content.startswith(b"\r\n"):
        return content[:2], content[2:]
    header, end, body = content.partition(b"\r\n\r\n")
    return header + end, body


def fields(header: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each field of a header: its name in small letters, and all of its lines."""
    for raw in _lines(header):
        found = _FIELD.match(raw)
        if found:
            yield found[1].lower(), raw


def _lines(header: bytes) -> Iterator[bytes]:
    """The lines, each with those that continue it."""
    gathered = b""
    for line in header.splitlines(keepends=True):
        if gathered and not line.startswith((b" ", b"\t")):
            yield gathered
            gathered = b""
        gathered += line
    if gathered:
        yield gathered


def envelope(content: bytes) -> bytes:
    """The envelope of a message."""
    texts: dict[bytes, bytes] = {}
    for name, raw in fields(split(content)[0]):
        texts.setdefault(name, _FOLD.sub(b"", raw.partition(b":")[2]).strip())
    sender = texts.get(b"from")
    people = [sender, texts.get(b"sender", sender), texts.get(b"reply-to", sender)]
    people += [texts.get(name) for name in (b"to", b"cc", b"bcc")]
    parts = [
        string(texts.get(b"date")),
        string(texts.get(b"subject")),
        *map(_addresses, people),
        string(texts.get(b"in-reply-to")),
        string(texts.get(b"message-id")),
    ]
    return b"(%b)" % b" ".join(parts)


def _addresses(text: bytes | None) -> bytes:
    if text is None:
        return b"NIL"
    try:
        pairs = getaddresses([text[:_LONGEST_FIELD].decode("latin-1")])
    except (RecursionError, IndexError, ValueError):  # comments within comments, and the like
        return b"NIL"
    written = b"".join(_address(*pair) for pair in pairs if pair[1])
    return b"(%b)" % written if written else b"NIL"


def _address(display_name: str, address: str) -> bytes:
    mailbox, at, host = address.rpartition("@")
    texts = (display_name or None, None, mailbox if at else address, host if at else "")
    return b"(%b)" % b" ".join(string(None if each is None else each.encode("latin-1")) for each in texts)
