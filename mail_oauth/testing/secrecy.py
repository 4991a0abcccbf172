"""Whether something that a site wrote holds a secret that the fake provider issued or was sent."""

from collections.abc import Iterator
from weakref import WeakKeyDictionary

from mail_oauth.testing.provider import FakeProvider
from mail_oauth.testing.search import Index
from mail_oauth.testing.writings import texts_of

_indexes: "WeakKeyDictionary[FakeProvider, tuple[Index, set[str]]]" = WeakKeyDictionary()
"""What each provider issued so far, ready to be looked for: one serves thousands of tests."""


def assert_no_secrets(provider: FakeProvider, *written: object) -> None:
    """Fail where any of ``written`` holds a secret of ``provider``, in clear, for a URL, HTML, JSON, in hex or base64.

    Takes texts, bytes, responses of Django's test client (headers and all), `caplog` or log records (their arguments
    too), exceptions with their tracebacks and attributes, messages of `mail.outbox` with their attachments, files by
    `pathlib.Path`, lists, dicts and generators of these; of anything else, its `str` and `repr`. The failure says which
    thing it was, which kind of secret, and how it was written, and not the secret.

    Raises `TypeError` for what does not show what it holds, such as an object without a `repr` of its own.
    """
    index = _index_of(provider)
    for number, thing in enumerate(written, 1):
        for text in _as_written(thing):
            found = min(index.find(text), default=None, key=lambda hit: hit[0])
            if found is not None:
                place, secret, how = found
                raise AssertionError(
                    f"Argument {number}, a {type(thing).__name__}, holds a secret of the fake provider "
                    f"({secret.kind}) {'in clear' if how == 'raw' else how}, after {place} bytes."
                )


def _as_written(thing: object) -> Iterator[bytes]:
    """Also without the breaks that mails, headers and base64 put into long words."""
    for text in texts_of(thing):
        yield text
        joined = b"".join(text.replace(b"=\n", b"").replace(b"=\r\n", b"").split())
        if joined != text:
            yield joined


def _index_of(provider: FakeProvider) -> Index:
    index, known = _indexes.setdefault(provider, (Index(), set()))
    new = {secret: kind for secret, kind in provider.issued_in.items() if secret not in known}
    index.add((kind, secret) for secret, kind in new.items())
    known |= new.keys()
    return index
