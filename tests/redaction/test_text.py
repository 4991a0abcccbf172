"""Whatever stands beside a secret, and however it is written, the secret is not in the scrubbed text."""

from __future__ import annotations

import base64
import json
import string
from html import escape
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mail_oauth.redaction import HIDDEN, scrub

NAMES = [
    *("access_token", "refresh_token", "id_token", "oauth_token", "accessToken", "refreshToken", "idToken"),
    *(
        "client_secret",
        "clientSecret",
        "client_assertion",
        "assertion",
        "code_verifier",
        "password",
        "ACCESS_TOKEN",
    ),
]
WEAK_NAMES = ["code", "state", "nonce", "token"]

# Tokens are printable ASCII (RFC 6749 appendix A.12); those of the big providers, and JWTs, are of these characters.
common = st.text(string.ascii_letters + string.digits + "-._~+/!*$", min_size=6, max_size=80)
printable = st.text(string.printable[:94], min_size=6, max_size=80)
long_ones = common.filter(lambda text: len(text) >= 16)
around = st.text(max_size=30)


def sasl(user: str, token: str) -> str:
    return base64.b64encode(f"user={user}\x01auth=Bearer {token}\x01\x01".encode()).decode()


def bearer_sasl(user: str, token: str) -> str:
    return base64.b64encode(f"n,a={user},\x01host=h\x01port=993\x01auth=Bearer {token}\x01\x01".encode()).decode()


few = settings(max_examples=25)


def left_of(text: str) -> str:
    """What is left to be read."""
    return scrub(text).replace(HIDDEN, "")


# Each shape: how a secret stands in a text, and the spelling that must be gone from it.
NAMED = {
    "in a query": lambda name, secret: (
        f"https://host/path?a=b&{name}={quote(secret, safe='')}",
        quote(secret, safe=""),
    ),
    "first in a form": lambda name, secret: (f"{name}={quote_plus(secret)}&x=y", quote_plus(secret)),
    "in a form": lambda name, secret: (
        urlencode({"grant_type": "x", name: secret, "scope": "a b"}),
        quote_plus(secret),
    ),
    "in a URL in a URL": lambda name, secret: (
        "/?next=" + quote(f"/page?{name}={quote(secret, safe='')}&a=b", safe=""),
        quote(quote(secret, safe=""), safe=""),
    ),
    "in a call": lambda name, secret: (f"fetch(url, {name}={secret!r}, x=1)", repr(secret)[1:-1]),
    "in the locals of a frame": lambda name, secret: (f"    {name} = {secret!r}\n    x = 1", repr(secret)[1:-1]),
    "in JSON": lambda name, secret: (json.dumps({"a": 1, name: secret, "b": 2}), json.dumps(secret)[1:-1]),
    "in JSON without spaces": lambda name, secret: (
        json.dumps({name: secret}, separators=(",", ":")),
        json.dumps(secret)[1:-1],
    ),
    "in bytes": lambda name, secret: (repr({name: secret.encode()}), repr(secret.encode())[2:-1]),
    "in a dict": lambda name, secret: (repr({"a": 1, name: secret}), repr(secret)[1:-1]),
    "in lists": lambda name, secret: (f"<QueryDict: { ({name: [secret], 'x': ['y']})!r}>", repr(secret)[1:-1]),
    "in HTML": lambda name, secret: (escape(repr({name: secret})), escape(repr(secret)[1:-1])),
    "in a pair": lambda name, secret: (repr([("a", "b"), (name, secret)]), repr(secret)[1:-1]),
}
QUOTED_ALONE = ["in JSON", "in JSON without spaces", "in a dict", "in lists", "in HTML", "in bytes", "in a pair"]


@pytest.mark.parametrize("shape", NAMED)
@few
@given(name=st.sampled_from(NAMES), secret=common, before=around, after=around)
def test_a_secret_beside_its_name(shape, name, secret, before, after):
    text, spelling = NAMED[shape](name, secret)
    text = f"{before} {text} {after}"
    assert spelling in text
    assert spelling not in left_of(text).replace(before, "").replace(after, "")


@pytest.mark.parametrize("shape", QUOTED_ALONE)
@few
@given(name=st.sampled_from(NAMES), secret=printable)
def test_a_quoted_secret_of_any_printable_character(shape, name, secret):
    text, spelling = NAMED[shape](name, secret)
    assert spelling not in left_of(text)


@pytest.mark.parametrize("shape", [shape for shape in NAMED if shape != "in a pair"])
@few
@given(name=st.sampled_from(WEAK_NAMES), secret=long_ones)
def test_a_code_and_a_state(shape, name, secret):
    text, spelling = NAMED[shape](name, secret)
    assert spelling not in left_of(text)


@few
@given(name=st.sampled_from(WEAK_NAMES), secret=common)
def test_a_short_code_in_a_query_or_a_form(name, secret):
    for shape in ("in a query", "first in a form", "in a form", "in a URL in a URL"):
        text, spelling = NAMED[shape](name, secret)
        assert f"={spelling}" not in left_of(text).replace("a=b", "")


@few
@given(name=st.sampled_from(NAMES), secret=common, inner=st.sampled_from(["json", "dict"]))
def test_json_within_json_or_within_a_repr(name, secret, inner):
    first = json.dumps({name: secret, "b": 1})
    text = json.dumps({"body": first}) if inner == "json" else repr(f"{first}'")
    assert secret not in left_of(text)


@pytest.mark.parametrize("scheme", ["Bearer", "Basic", "bearer", "DPoP"])
@few
@given(secret=common, before=around)
def test_an_authorization_header(scheme, secret, before):
    for text in (
        f"{before}\r\nAuthorization: {scheme} {secret}\r\nAccept: */*",
        repr({"Authorization": f"{scheme} {secret}", "Accept": "*/*"}),
        json.dumps({"proxy-authorization": f"{scheme} {secret}"}),
        repr(f"POST / HTTP/1.1\r\nAuthorization: {scheme} {secret}\r\n\r\n".encode()),
    ):
        assert f"{scheme} {secret}" in text
        assert secret not in left_of(text).replace(before, "")


@few
@given(secret=long_ones, before=around)
def test_a_bearer_token_anywhere(secret, before):
    assert secret not in left_of(f"{before} auth=Bearer {secret}\x01\x01").replace(before, "")


@pytest.mark.parametrize("made", [sasl, bearer_sasl])
@few
@given(secret=common, user=st.text(string.ascii_letters + "@.+", min_size=1, max_size=40))
def test_sasl_as_mail_clients_print_it(made, secret, user):
    blob = made(user, secret)
    for text in (
        f"send: 'AUTH XOAUTH2 {blob}\\r\\n'",
        f"  42:31.59 > b'KJCH1 AUTHENTICATE OAUTHBEARER {blob}'",
        f"*put* b'{blob}'",
        f"{blob}",
    ):
        assert blob[12:] not in left_of(text)
        assert blob[-12:] not in left_of(text)


@few
@given(parts=st.lists(st.text(string.ascii_letters + string.digits + "-_", min_size=4), min_size=3, max_size=3))
def test_a_json_web_token_anywhere(parts):
    token = "eyJ" + ".".join(parts)
    assert parts[2] not in left_of(f"got {token}, went on").replace("got ", "").replace("went on", "")


ORDINARY = [
    'HTTP "GET /mail/ HTTP/1.1" 200 5316',
    "status_code=200 exit code: 3, code=42, error_code=invalid_grant",
    "Task mail_oauth.tasks.refresh_batch[2f1c] succeeded in 0.1s: state=SUCCESS",
    "refresh of mailbox 7b1f6b1e-5a5e-4a7e-9f6e-1d2c3b4a5f60: invalid_grant",
    "Bearer authentication failed; Basic authentication is off",
    '{"token_type": "Bearer", "expires_in": 3600, "refresh_token": null, "code": "not_found"}',
    "A token of token_expiry 2026-01-01, and <Secret: hidden, call .reveal()>",
    "access_token=<AccessToken: hidden, call .reveal()>, refresh_token=None, state=None",
    "AUTH LOGIN is off; Auth plain and simple; the user=ada",
    "The names are ('state', 'code', 'error', 'iss') and ['access_token', 'refresh_token']",
    "eyJ is how a JWT begins",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_lines_are_left_alone(text):
    assert scrub(text) == text


@given(st.text(string.ascii_letters + string.digits + " .,;()[]/-\n"))
@example("")
def test_text_in_which_nothing_is_named_is_left_alone(text):
    """Without a sign between a name and a value, and too short for a token that is known by its shape."""
    words = (word[:15] for word in text.split(" "))
    plain = " ".join(word for word in words if word.lower() not in {"auth", "authenticate", "bearer"})
    assert scrub(plain) == plain


@given(st.text() | st.text(string.ascii_letters + "=&?\"':{}, ", max_size=200))
@example('code=[hidden]&state=[hidden] {"access_token": "[hidden]"} Authorization: [hidden]')
def test_what_was_scrubbed_stays_as_it_is(text):
    once = scrub(text)
    assert scrub(once) == once


PIECES = [
    *(
        "access_token",
        "access_token=",
        '"access_token": "',
        "code",
        "code=",
        "&code=",
        "?state=",
        "eyJ",
        "eyJa.",
        ".",
    ),
    *(
        "Authorization: ",
        "AUTH XOAUTH2 ",
        "dXNlcj1",
        "bearer ",
        "\\",
        '\\"',
        '"',
        "'",
        "&quot;",
        "&#x27;",
        " ",
        "(",
        "[",
    ),
    *("%22", "%3D", "=", ":", "a", "ya29.", "1//0", "('code', '", "\n"),
    *("-----BEGIN PRIVATE KEY-----", "-----BEGIN "),
]


@pytest.mark.parametrize("first", PIECES)
@pytest.mark.parametrize("second", ["", "a"])
def test_the_time_is_linear_in_the_text(first, second):
    """Text that begins like secrets again and again: if the time were quadratic, the test would time out."""
    text = (first + second) * (80_000 // len(first + second))
    assert len(scrub(text)) <= 12 * len(text)


def test_the_time_is_linear_with_every_piece_at_random():
    import random

    chosen = random.Random(7).choices(PIECES, k=30_000)
    scrub("".join(chosen))


def test_what_is_put_in_is_no_secret_of_anybodys():
    assert HIDDEN == "[hidden]"


@pytest.mark.parametrize("kind", ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY"])
@pytest.mark.parametrize("spelled", [str, json.dumps, repr], ids=["as it is", "in JSON", "in repr"])
def test_a_private_key_goes_whole(kind, spelled):
    body = "\n".join(["MIIEvQIBADANBgkqhkiG9w0BAQEFAASC/+x" * 2] * 3)
    pem = f"-----BEGIN {kind}-----\n{body}=\n-----END {kind}-----\n"
    left = left_of(f"before {spelled(pem)} after")
    assert "MII" not in left
    assert left.startswith("before ")
    assert left.endswith(" after")


def test_a_certificate_is_no_secret():
    text = "-----BEGIN CERTIFICATE-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END CERTIFICATE-----"
    assert scrub(text) == text
