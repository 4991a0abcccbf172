"""Whatever arrives at the callback: a page of ours and a 4xx or a redirect within the site; never a changed grant."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import strategies as st

from tests.fuzz.cases import body_of, corpus, fuzz
from tests.fuzz.visits import ALIASES, MARK, Site, Visit

pytestmark = pytest.mark.django_db

NAMES = [
    "state",
    "code",
    "error",
    "iss",
    "error_description",
    "error_uri",
    "session_state",
    "scope",
    "st%61te",
    "State",
]
VALUES = [
    "{state}",
    "{state}",
    "{code}",
    "{foreign}",
    "{expired}",
    "{elsewhere}",
    "{unknown}",
    "",
    MARK,
    "access_denied",
    "server_error",
    "https%3A%2F%2Fevil.example",
    "%00",
    "%0d%0aSet-Cookie:%20a=b",
    "%ff%fe",
    "%ED%A0%80",
    "%F0%9F%98%80",
    "%u0041",
    "%",
    "%2",
    "+",
    "%2525",
    "<script>" + MARK,
    "{{7*7}}",
    "a" * 4097,
    "x" * 17_000,
]
HEADERS: dict[str, list[str]] = {
    "CONTENT_TYPE": [
        "",
        "text/plain; charset=utf-16",
        "text/plain; charset=utf-7",
        "multipart/form-data",
        "\x80",
        ";;=",
    ],
    "HTTP_HOST": ["testserver", "evil.example", "testserver:99999", "", "[::1", "testserver@evil.example"],
    "HTTP_SEC_PURPOSE": ["prefetch", "", "x"],
    "HTTP_SEC_FETCH_DEST": ["document", "image", "", "\x80"],
    "HTTP_X_FORWARDED_HOST": ["evil.example"],
    "HTTP_X_HTTP_METHOD_OVERRIDE": ["POST"],
    "HTTP_COOKIE": ["sessionid=x", "sessionid=", "a" * 5000, "\x00=\xff", "csrftoken=x; sessionid=\x7f"],
    "HTTP_REFERER": ["https://evil.example/"],
    "HTTP_ACCEPT_LANGUAGE": ["de", "x" * 3000, "\xff"],
}
METHODS = ["POST", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "PROPFIND", "get", "G\x00T", ""]

values = st.sampled_from(VALUES) | st.text(max_size=10).map(
    lambda text: quote(text.encode(errors="surrogatepass"))
)
parameters = st.tuples(st.sampled_from(NAMES), values).map("=".join)
separators = st.sampled_from(["&"] * 12 + [";", "&&", "&amp;", "#", "%26", "?"])
raw = st.text(st.characters(min_codepoint=0, max_codepoint=255), max_size=60)


@st.composite
def queries(draw: st.DrawFn) -> str:
    """A query not far from one that a provider sends; sometimes no query at all."""
    how = draw(st.integers(0, 9))
    if how == 0:
        return draw(raw)
    parts = draw(st.lists(parameters, max_size=4))
    if how < 7:
        parts = ["state={state}", *parts]
    if how < 5:
        parts = [
            *parts[:2],
            draw(st.sampled_from(["code={code}", "code=x", "error=access_denied", "error=" + MARK])),
        ]
    return draw(separators).join(draw(st.permutations(parts)))


@st.composite
def visits(draw: st.DrawFn) -> Visit:
    """A visit in which one thing or another is wrong, or nothing."""
    headers = {
        name: draw(st.sampled_from(HEADERS[name]))
        for name in draw(st.sets(st.sampled_from(sorted(HEADERS)), max_size=2))
    }
    honest = draw(st.integers(0, 39)) == 0
    return Visit(
        alias=draw(st.sampled_from(ALIASES)),
        path=draw(st.sampled_from([""] * 30 + ["nonsense", "MICROSOFT", "a/b", "..", "x" * 3000])),
        who=draw(st.sampled_from(["owner"] * 6 + ["other", "elsewhere", "nobody", "garbage"])),
        query="state={state}&code={code}{iss}" if honest else draw(queries()),
        method="GET" if draw(st.integers(0, 9)) else draw(st.sampled_from(METHODS)),
        headers=headers,
        code="real" if honest else "invented",
    )


@pytest.fixture
def site(provider, user, other_user, connect, settings) -> Site:
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "CONNECT_STARTS_PER_HOUR": 0}
    for owner in (user, other_user):
        connect("keycloak", owner=owner)
    return Site(provider, user, other_user)


def test_any_visit(site):
    fuzz("callback", visits(), site.pay)


@pytest.mark.parametrize("case", corpus("callback"), ids=lambda case: case["name"])
def test_the_corpus(site: Site, case: dict[str, Any]):
    given = {name: case[name] for name in ("alias", "who", "method", "headers", "code") if name in case}
    given |= {name: body_of({"body": case[name]}).decode() for name in ("query", "path") if name in case}
    assert site.pay(Visit(**given)) == case["expect"]
