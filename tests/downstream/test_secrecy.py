"""`assert_no_secrets` finds what the provider issued wherever a site may have written it, and says nothing of it."""

from __future__ import annotations

import base64
import json
import logging
from html import escape
from urllib.parse import quote

import pytest
from django.core.mail import EmailMessage
from django.http import HttpResponse, StreamingHttpResponse

SPELLINGS = {
    "in clear": str,
    "cut": lambda secret: secret[:60],
    "in the middle of a line": lambda secret: f"token={secret}; and so on",
    "for a URL": lambda secret: quote(secret, safe=""),
    "in HTML": escape,
    "in JSON": json.dumps,
    "in hex": lambda secret: secret.encode().hex(),
    "in base64": lambda secret: base64.b64encode(f"user=ada\1auth=Bearer {secret}\1\1".encode()).decode(),
    "in base64 for URLs": lambda secret: base64.urlsafe_b64encode(f"x{secret}".encode()).decode(),
}


def record(*args: object) -> logging.LogRecord:
    return logging.LogRecord("site", logging.INFO, "x.py", 1, "a token: %s", args, None)


def error(text: str) -> Exception:
    try:
        raise ValueError("no") from KeyError(text)
    except ValueError as raised:
        return raised


PLACES = {
    "a text": str,
    "bytes": str.encode,
    "a page": HttpResponse,
    "a streamed page": lambda text: StreamingHttpResponse([b"beginning", text.encode()]),
    "a redirect": lambda text: HttpResponse(headers={"Location": f"/x?code={text}"}),
    "a log's argument": record,
    "an error's cause": error,
    "a mail": lambda text: EmailMessage("hello", text, to=["ada@example.com"]),
    "a list in a dict": lambda text: {"found": [1, text]},
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
