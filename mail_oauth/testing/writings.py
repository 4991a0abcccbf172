"""What stands in the things that tests have in hand: responses, log records, exceptions, mails …, as bytes."""

import gzip
import logging
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from email.message import Message
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

DEEPEST: Final = 20
"""So many things within each other are looked into: an exception may hold itself."""

IN_TRANSIT: Final = ("state", "nonce")
"""What an authorization request must carry (RFC 6749, section 4.1.1)."""


def texts_of(thing: object, depth: int = 0) -> Iterator[bytes]:
    """What stands in a thing. An authorization request, to which it redirects, may carry `IN_TRANSIT`."""
    if depth > DEEPEST:
        return
    for each in _parts(thing, depth):
        if isinstance(each, bytes):
            yield each
        else:
            yield from texts_of(each, depth + 1)


def _parts(thing: Any, depth: int) -> Iterator[object]:
    """Of what a thing consists: bytes are what stands there, all else is looked into."""
    for kinds, read in _BY_TYPE:
        if isinstance(thing, kinds):
            return read(thing)
    for names, read in _BY_LOOKS:
        if all(hasattr(thing, name) for name in names):
            return read(thing)
    return iter(thing) if isinstance(thing, Iterable) else _of_object(thing, depth)


def _of_text(text: str) -> Iterator[object]:
    yield text.encode("utf-8", "backslashreplace")


def _of_bytes(data: bytes | bytearray | memoryview) -> Iterator[object]:
    yield bytes(data)


def _of_buffer(buffer: StringIO | BytesIO) -> Iterator[object]:
    yield buffer.getvalue()


def _of_path(path: Path) -> Iterator[object]:
    yield path.read_bytes() if path.is_file() else str(path)


def _of_error(error: BaseException) -> Iterator[object]:
    yield "".join(traceback.format_exception(error))
    yield from (repr(error), error.args, vars(error), error.__cause__, error.__context__)


def _of_mapping(mapping: Mapping[Any, Any]) -> Iterator[object]:
    yield from mapping.keys()
    yield from (
        mapping.lists() if hasattr(mapping, "lists") else mapping.values()
    )  # a QueryDict has several of a name


def _of_record(record: logging.LogRecord) -> Iterator[object]:
    with suppress(TypeError, ValueError):  # its arguments do not fit its text, which logging shows in its own way
        yield record.getMessage()
    yield from (vars(record), record.exc_info[1] if record.exc_info else None)


def _of_response(response: Any) -> Iterator[object]:
    for name, text in response.headers.items():
        yield f"{name}: {_without_state(text) if name.lower() == 'location' else text}"
    body = _streamed(response) if getattr(response, "streaming", False) else response.content
    yield gzip.decompress(body) if response.headers.get("Content-Encoding") == "gzip" else body
    yield [str(each) for each in getattr(response, "cookies", {}).values()]


def _streamed(response: Any) -> bytes:
    """The whole body, which can be read again."""
    if getattr(response, "is_async", False):
        raise TypeError("An asynchronous stream is not read here: pass what it says, joined.")
    chunks = [bytes(chunk) for chunk in response.streaming_content]
    response.streaming_content = chunks
    return b"".join(chunks)


def _without_state(url: str) -> str:
    parts = urlsplit(url)
    fields = parse_qsl(parts.query)
    if "response_type" not in dict(fields):
        return url
    return parts._replace(query=urlencode([field for field in fields if field[0] not in IN_TRANSIT])).geturl()


def _of_mail(mail: Any) -> Iterator[object]:
    """As it is sent, and each part as it is read."""
    message: Message = mail.message()
    yield from (mail.subject, mail.body, message.as_string())
    for part in message.walk():
        yield from ("".join(str(text).splitlines()) for text in part.values())
        yield part.get_payload(decode=True)


def _of_caplog(caplog: Any) -> Iterator[object]:
    yield from (caplog.records, caplog.text)


def _of_object(thing: object, depth: int) -> Iterator[object]:
    if depth == 0 and type(thing).__repr__ is object.__repr__ and type(thing).__str__ is object.__str__:
        raise TypeError(f"A {type(thing).__name__} does not show what it holds: pass the texts that are in it.")
    yield from (str(thing), repr(thing))


_BY_TYPE: tuple[tuple[Any, Callable[[Any], Iterator[object]]], ...] = (
    (str, _of_text),
    ((bytes, bytearray, memoryview), _of_bytes),
    ((StringIO, BytesIO), _of_buffer),
    (Path, _of_path),
    (BaseException, _of_error),
    (logging.LogRecord, _of_record),
    (Mapping, _of_mapping),
)
_BY_LOOKS: tuple[tuple[tuple[str, str], Callable[[Any], Iterator[object]]], ...] = (
    (("status_code", "headers"), _of_response),
    (("recipients", "message"), _of_mail),
    (("records", "text"), _of_caplog),
)
