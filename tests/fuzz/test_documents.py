"""Whatever a provider publishes of itself: a document, a refusal, or a call that is not made; never a crash."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import strategies as st

from mail_oauth.exceptions import ConfigurationError, ConnectRefused, TransportError
from mail_oauth.providers import documents
from mail_oauth.providers.oidc import OpenIDConnect
from tests.fuzz.cases import body_of, corpus, fuzz
from tests.fuzz.texts import changed, odd_value, written
from tests.signing import ec_key, jwk_of, publish, published, token, verdict
from tests.wire import Recorded

ENDPOINTS = ["authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint", "revocation_endpoint"]
MEMBERS = ["issuer", *ENDPOINTS, "authorization_response_iss_parameter_supported", "x"]
PLACES: list[Any] = [
    "https://169.254.169.254/",
    "http://login.example/",
    "https://10.0.0.1/",
    "https://0x7f.1/",
    "https://[::ffff:10.0.0.1]/",
    "https://user@login.example/",
    "https://login.example\\@10.0.0.1/",
    "https://login.example/?a=b&state=x&client_id=evil",
    "https://login.example/\r\nX: y",
    "javascript:alert(1)",
    "//evil.example",
    "https://" + "a" * 64 + ".example/",
    "https://a..b/",
    "https://[",
    "",
]
STATUSES = st.sampled_from([200] * 8 + [201, 204, 301, 302, 307, 400, 404, 429, 500, 503])


@dataclass(frozen=True)
class Published:
    """What is answered for the discovery document, or for the set of keys."""

    status: int
    body: bytes
    is_keys: bool = False


@st.composite
def discoveries(draw: st.DrawFn) -> Published:
    """A discovery document; `{here}` is the server that gives it out."""
    true = {name: f"{{here}}/{name}" for name in ENDPOINTS}
    known = dict.fromkeys(ENDPOINTS, PLACES) | {
        "issuer": ["{here}", "{here}/", "{here}/x", "https://evil.example"]
    }
    fields = draw(changed({"issuer": "{here}/issuer", **true}, MEMBERS, known))
    return Published(draw(STATUSES), draw(written(fields)))


@st.composite
def key_sets(draw: st.DrawFn) -> Published:
    """A set of keys, among which the honest one may be."""
    keys: list[Any] = []
    for _ in range(draw(st.integers(0, 3))):
        true = draw(st.sampled_from([*published(), jwk_of(ec_key(), kid="e")]))
        keys.append(draw(changed(true, ["kty", "kid", "alg", "use", "n", "e", "crv", "x", "y", "d", "key_ops"])))
    keys += draw(st.lists(odd_value, max_size=2))
    fields = {"keys": draw(st.permutations(keys))} if draw(st.integers(0, 9)) else {"keys": draw(odd_value)}
    return Published(draw(STATUSES), draw(written(fields)), is_keys=True)


class Provider:
    """A provider of whom everything is looked up anew, and all that is asked of it."""

    def __init__(self, wire: Recorded) -> None:
        self.wire = wire
        self.here = wire.url.removesuffix("/token")
        self.oidc = OpenIDConnect("fuzz", {"CLIENT_ID": "client", "ISSUER": f"{self.here}/issuer"})

    def holds(self, case: Published) -> str:
        documents._kept.clear()
        self.wire.requests.clear()
        self.wire.status = case.status
        self.wire.headers = {"Location": "http://169.254.169.254/", "Connection": "close"}
        self.wire.body = case.body.replace(b"{here}", self.here.encode())
        if case.is_keys:
            publish(self.wire, None)
            self.wire.body = case.body
            found = verdict(token(key=ec_key()), self.wire.url)
            assert found in {"sub ada", "bad_id_token", "bad_jwks", f"http_{case.status}"}
            assert len(self.wire.requests) <= 2
            return found.replace("http_200", "no document")
        return self._discovered()

    def _discovered(self) -> str:
        try:
            url = self.oidc.authorization_url(
                redirect_uri="https://site.example/", state="s" * 64, nonce="n", code_verifier="v" * 64
            )
            self.oidc.expects_issuer()
        except (ConfigurationError, TransportError, ConnectRefused) as error:
            return _told(error)
        parts = urlsplit(url)
        assert parts.scheme == "https" or url.startswith(self.here + "/")
        assert parts.username is None
        assert url.isascii()
        assert url.isprintable()
        assert {request.path for request in self.wire.requests} == {"/issuer/.well-known/openid-configuration"}
        return "discovered"


def _told(error: Exception) -> str:
    """What an operator reads in the log: short, and within its line."""
    assert len(str(error)) < 3000
    assert str(error).isprintable()
    return type(error).__name__


@pytest.fixture
def honest(wire: Recorded) -> Provider:
    return Provider(wire)


def test_any_document(honest):
    fuzz("documents", discoveries() | key_sets(), honest.holds)


@pytest.mark.parametrize("case", corpus("documents"), ids=lambda case: case["name"])
def test_the_corpus(honest: Provider, case: dict[str, Any]):
    body = body_of(case)
    if "keys" in case:
        names = {"{r}": published()[0], "{e}": published()[1], "{private}": jwk_of(ec_key(), kid="e")}
        keys = [{**names[key.pop("like")], **key} if "like" in key else key for key in case["keys"]]
        body = json.dumps({"keys": keys}).encode()
    assert (
        honest.holds(Published(case.get("status", 200), body, case.get("is_keys", "keys" in case)))
        == case["expect"]
    )
