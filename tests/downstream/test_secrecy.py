"""`assert_no_secrets` finds what the provider issued wherever a site may have written it, and says nothing of it."""

from __future__ import annotations

import base64
import gzip
import json
import logging
from collections.abc import Callable
from html import escape
from io import StringIO
from urllib.parse import quote

import pytest
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.http import HttpResponse, QueryDict, StreamingHttpResponse

SPELLINGS = {
    "in clear": str,
    "cut": lambda secret: secret[:60],
    "in the middle of a line": lambda secret: f"token={secret}; and so on",
    "for a URL": lambda secret: quote(secret, safe=""),
    "in HTML": escape,
    "in JSON": json.dumps,
    "in hex": lambda secret: secret.encode().hex(),
    "in base64": lambda secret: base64.b64encode(f"user=ada\1auth=Bearer {secret}\1\1".encode()).decode(),
    "in upper-case hex": lambda secret: secret.encode().hex().upper(),
    "in lines of base64": lambda secret: base64.encodebytes(f"auth=Bearer {secret}\1\1".encode()).decode(),
    "in base64 for URLs": lambda secret: base64.urlsafe_b64encode(f"x{secret}".encode()).decode(),
}


def record(*args: object) -> logging.LogRecord:
    return logging.LogRecord("site", logging.INFO, "x.py", 1, "a token: %s", args, None)


def error(text: str) -> Exception:
    try:
        raise ValueError("no") from KeyError(text)
    except ValueError as raised:
        return raised


def with_body(text: str) -> Exception:
    raised = ValueError("no")
    raised.body = text
    return raised


def mail(add: Callable[[EmailMultiAlternatives], object]) -> EmailMultiAlternatives:
    made = EmailMultiAlternatives("hello", "body", to=["ada@example.com"])
    add(made)
    return made


PLACES = {
    "a text": str,
    "bytes": str.encode,
    "a page": HttpResponse,
    "a streamed page": lambda text: StreamingHttpResponse([b"beginning", text.encode()]),
    "a redirect": lambda text: HttpResponse(headers={"Location": f"/x?code={text}"}),
    "a log's argument": record,
    "an error's cause": error,
    "a mail": lambda text: EmailMessage("hello", text, to=["ada@example.com"]),
    "a mail's HTML": lambda text: mail(lambda one: one.attach_alternative(f"<p>é {text}</p>", "text/html")),
    "a mail's attachment": lambda text: mail(
        lambda one: one.attach("x.txt", f"é {'x' * 40} {text}", "text/plain")
    ),
    "a mail's binary": lambda text: mail(lambda one: one.attach("x", f"xx{text}".encode(), "application/x-odd")),
    "a mail's header": lambda text: EmailMessage(
        "s", "b", to=["ada@example.com"], headers={"X-Debug": f"xxx {text}"}
    ),
    "a list in a dict": lambda text: {"found": [1, text]},
    "a generator": lambda text: (each for each in [text]),
    "a buffer": StringIO,
    "a view of bytes": lambda text: memoryview(text.encode()),
    "an earlier value of a query": lambda text: QueryDict(f"a={text}&a=x"),
    "an error's attribute": with_body,
    "an object's str": lambda text: type("Row", (), {"__str__": lambda self: text})(),
    "a packed page": lambda text: HttpResponse(gzip.compress(text.encode()), headers={"Content-Encoding": "gzip"}),
    "an object's repr": lambda text: type("Row", (), {"__repr__": lambda self: f"<{text}>"})(),
}


@pytest.fixture(params=["microsoft", "google", "oidc"])
def token(request, fake_provider) -> str:
    return fake_provider.grant("ada@example.com", request.param)["access_token"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_is_found(assert_no_secrets, token, spelling):
    with pytest.raises(AssertionError) as found:
        assert_no_secrets("nothing", SPELLINGS[spelling](token))
    assert "Argument 2, a str, holds a secret" in str(found.value)
    assert token[:20] not in str(found.value)


@pytest.mark.parametrize("place", PLACES)
def test_every_place_is_looked_into(assert_no_secrets, fake_provider, place):
    secret = fake_provider.grant("ada@example.com", "google")["refresh_token"]
    with pytest.raises(AssertionError, match="holds a secret"):
        assert_no_secrets(PLACES[place](secret))
    assert_no_secrets(PLACES[place]("no secret at all, as long as it may be"))


def test_a_file_and_the_log_as_a_whole_are_looked_into(assert_no_secrets, token, tmp_path, caplog):
    path = tmp_path / "site.log"
    path.write_text("nothing yet")
    assert_no_secrets(path, caplog)
    path.write_text(token)
    caplog.records.append(record(token))
    for thing in (path, caplog):
        with pytest.raises(AssertionError, match=r"\(access_token\)"):
            assert_no_secrets(thing)
    path.unlink()
    caplog.clear()


def test_what_shows_nothing_is_no_proof(assert_no_secrets):
    with pytest.raises(TypeError, match="A object does not show what it holds"):
        assert_no_secrets(object())

    async def chunks():
        yield b"x"

    with pytest.raises(TypeError, match="asynchronous stream"):
        assert_no_secrets(StreamingHttpResponse(chunks()))


def test_a_stream_can_be_read_again_and_a_record_that_does_not_fit_is_read(assert_no_secrets):
    page = StreamingHttpResponse([b"abc"])
    assert_no_secrets(page, logging.LogRecord("site", logging.INFO, "x.py", 1, "%s %s", ("one",), None))
    assert page.getvalue() == b"abc"


def test_the_way_to_the_provider_carries_what_it_must(surfer, provider, assert_no_secrets):
    away = surfer.client.post("/mail/connect/google/")
    provider.authorize(away["Location"])
    assert_no_secrets(away)
    with pytest.raises(AssertionError, match=r"\(state\)"):
        assert_no_secrets(away["Location"])
