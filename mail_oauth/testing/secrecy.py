"""Whether something that a site wrote holds a secret that the fake provider issued or was sent."""

import base64
import json
import logging
import traceback
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any, Final
from urllib.parse import quote, quote_plus

from mail_oauth.testing.provider import FakeProvider

SHORTEST: Final = 16
"""Characters of a secret below which a text holds it by chance."""

LONGEST_WHOLE, END = 64, 40
"""Of a secret of more than so many characters, so many of its end (and beginning) are enough: logs cut long values."""


def assert_no_secrets(provider: FakeProvider, *written: object) -> None:
    """Fail where any of ``written`` holds a secret of ``provider``, in clear, for a URL, HTML, JSON, in hex or base64.

    Takes texts, bytes, responses of Django's test client (headers and all), log records (their arguments too),
    exceptions with their tracebacks, messages of `mail.outbox`, and lists or dicts of these; of anything else, its
    `repr`. The failure says which thing it was and how the secret was written, and not the secret.
    """
    known = [(spelling, how) for secret in provider.issued for spelling, how in _spellings(secret)]
    for number, thing in enumerate(written, 1):
        for text in texts_of(thing):
            for spelling, how in known:
                if spelling in text:
                    raise AssertionError(
                        f"Argument {number}, {_named(thing)}, holds a secret of the fake provider {how}, after "
                        f"{len(text[: text.index(spelling)])} characters."
                    )


def texts_of(thing: object) -> Iterator[str]:
    """What stands in a thing, as texts."""
    if isinstance(thing, str):
        yield thing
    elif isinstance(thing, bytes):
        yield thing.decode("utf-8", "replace")
    elif isinstance(thing, BaseException):
        yield "".join(traceback.format_exception(thing))
        yield repr(thing)
    elif isinstance(thing, logging.LogRecord):
        yield from texts_of([thing.getMessage(), repr(vars(thing)), thing.exc_info[1] if thing.exc_info else ""])
    elif isinstance(thing, dict):
        yield from texts_of([*thing.keys(), *thing.values()])
    elif isinstance(thing, Iterable) and isinstance(thing, list | tuple | set | frozenset):
        for each in thing:
            yield from texts_of(each)
    else:
        yield from _of_object(thing)


def _of_object(thing: Any) -> Iterator[str]:
    """A response's headers and body, a mail as it is sent, else the `repr`."""
    if hasattr(thing, "status_code") and hasattr(thing, "headers"):
        yield from (f"{name}: {text}" for name, text in thing.headers.items())
        yield from texts_of(
            b"".join(thing.streaming_content) if getattr(thing, "streaming", False) else thing.content
        )
        yield from texts_of([str(each) for each in getattr(thing, "cookies", {}).values()])
    elif hasattr(thing, "recipients") and hasattr(thing, "message"):
        yield thing.message().as_string()
        yield f"{thing.subject}\n{thing.body}"  # which the message may carry in base64
    else:
        yield repr(thing)


def _spellings(secret: str) -> Iterator[tuple[str, str]]:
    if len(secret) < SHORTEST:
        return
    parts = [secret] if len(secret) <= LONGEST_WHOLE else [secret[-END:]]
    if len(parts[0]) < len(secret) and not secret.startswith("eyJ"):  # a JWT begins like all others of its key
        parts.append(secret[:END])
    for part in parts:
        yield part, "in clear"
        yield quote(part, safe=""), "in a URL's spelling"
        yield quote_plus(part), "in a form's spelling"
        yield escape(part), "in HTML's spelling"
        yield json.dumps(part)[1:-1], "in JSON's spelling"
        yield part.encode().hex(), "in hex"
        yield from ((text, "in base64") for text in _in_base64(part.encode()))


def _in_base64(text: bytes) -> Iterator[str]:
    """All that base64 may make of it, whatever stands before and behind it."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + text)
        known = encoded[-(-8 * before // 6) : 8 * (before + len(text)) // 6].decode()
        yield known
        yield known.translate(str.maketrans("+/", "-_"))


def _named(thing: object) -> str:
    return f"a {type(thing).__name__}"
