"""Whether something that a site wrote holds a secret that the fake provider issued or was sent."""

import logging
import traceback
from collections.abc import Iterable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

from mail_oauth.testing.provider import FakeProvider
from mail_oauth.testing.search import Index

_indexes: "WeakKeyDictionary[FakeProvider, tuple[Index, set[str]]]" = WeakKeyDictionary()
"""What each provider issued so far, ready to be looked for: one serves thousands of tests."""


def assert_no_secrets(provider: FakeProvider, *written: object) -> None:
    """Fail where any of ``written`` holds a secret of ``provider``, in clear, for a URL, HTML, JSON, in hex or base64.

    Takes texts, bytes, responses of Django's test client (headers and all), log records (their arguments too),
    exceptions with their tracebacks, messages of `mail.outbox`, and lists or dicts of these; of anything else, its
    `repr`. The failure says which thing it was and how the secret was written, and not the secret.
    """
    index = _index_of(provider)
    for number, thing in enumerate(written, 1):
        for text in texts_of(thing):
            found = min(index.find(text.encode("utf-8", "backslashreplace")), default=None, key=lambda hit: hit[0])
            if found is not None:
                raise AssertionError(
                    f"Argument {number}, {_named(thing)}, holds a secret of the fake provider "
                    f"{'in clear' if found[2] == 'raw' else found[2]}, after {found[0]} bytes."
                )


def _index_of(provider: FakeProvider) -> Index:
    index, known = _indexes.setdefault(provider, (Index(), set()))
    new = provider.issued - known
    index.add(("secret", each) for each in new)
    known |= new
    return index


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


def _named(thing: object) -> str:
    return f"a {type(thing).__name__}"
