"""Whatever stands in an id_token: its claims where an honest issuer signed them for us, now; else a refusal."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import strategies as st

from tests.fuzz.cases import body_of, corpus, fuzz
from tests.fuzz.texts import changed, spoiled, written
from tests.signing import (
    AUDIENCE,
    ISSUER,
    NONCE,
    ec_key,
    good_claims,
    hmac_signed,
    part,
    publish,
    published,
    rsa_key,
    signed,
    verdict,
)
from tests.wire import Recorded

NOW = int(time.time())
CLAIMS = ["iss", "aud", "azp", "sub", "nonce", "exp", "iat", "nbf", "email", "tid", "typ", "x"]
LIKELY: dict[str, list[Any]] = {
    "iss": [ISSUER, ISSUER + "/", [ISSUER], "https://evil.example"],
    "aud": [[AUDIENCE], [AUDIENCE, "other"], ["other"], [AUDIENCE, 5], {AUDIENCE: 1}],
    "azp": [AUDIENCE, "other", [AUDIENCE]],
    "nonce": [NONCE, NONCE + " ", [NONCE]],
    "exp": [NOW + 600, str(NOW + 600), NOW + 600.5, NOW - 600, NOW - 60, 10**11],
    "iat": [NOW, NOW + 60, NOW + 600, str(NOW), 10**11],
    "nbf": [NOW, NOW + 60, NOW + 600, str(NOW)],
}
HEADER = ["alg", "kid", "typ", "crit", "jku", "jwk", "x5u", "x5c", "b64", "zip", "x"]
IN_HEADER: dict[str, list[Any]] = {
    "alg": ["RS256", "PS256", "ES256", "HS256", "none", "RS512", ["RS256"]],
    "kid": ["r", "e", "unknown", "R"],
    "crit": [[], ["exp"], ["b64"]],
    "b64": [False, True],
}


@dataclass(frozen=True)
class Token:
    """An id_token, and what an honest reader has to say of it: `header` and `claims` are None where unreadable."""

    text: str
    header: dict[str, Any] | None = None
    claims: dict[str, Any] | None = None
    key: str = ""


def read(raw: bytes) -> dict[str, Any] | None:
    """An object in any encoding that JSON ever had: what the issuer signed, it has said."""
    try:
        found = json.loads(raw, parse_int=lambda digits: int(digits[:4000]))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


@st.composite
def tokens(draw: st.DrawFn) -> Token:
    """An id_token not far from a good one: signed over whatever it says, or spoiled after that."""
    kind = draw(st.sampled_from(["rsa", "ec", "ec", "ec", "stranger", "hmac"]))
    own = {"alg": "RS256", "kid": "r"} if kind == "rsa" else {"alg": "ES256", "kid": "e"}
    given = draw(changed(own, HEADER, IN_HEADER)) if draw(st.booleans()) else own
    header = draw(written(given)) if draw(st.integers(0, 5)) == 0 else json.dumps(given).encode()
    said = draw(changed(good_claims(), CLAIMS, LIKELY))
    claims = draw(written(said)) if draw(st.integers(0, 2)) == 0 else json.dumps(said).encode()
    if kind == "hmac":
        return Token(hmac_signed(said, json.dumps(published()[0]).encode()))
    keys = {"rsa": rsa_key(), "ec": ec_key(), "stranger": ec_key(ec.SECP384R1)}
    text = signed(header, claims, keys[kind])
    how = draw(st.integers(0, 11))
    if how == 0:
        text = draw(spoiled(text.encode())).decode("latin-1")  # base64 has some bits that mean nothing
    if how == 1:
        head, _, signature = text.split(".")
        return Token(f"{head}.{part(json.dumps(good_claims(sub='eve')))}.{signature}")
    if how == 2:
        return Token(text.rpartition(".")[0] + draw(st.sampled_from([".", "", "..", ".AA", "." + "A" * 86])))
    return Token(text, read(header), read(claims), kind)


def is_number(value: Any) -> bool:
    return type(value) in (int, float) and value == value and abs(value) != float("inf")


def fits(token: Token) -> bool:
    """Whether an honest reader believes it, by OIDC Core §3.1.3.7; a strict one, for whom nothing is optional."""
    header, claims = token.header, token.claims
    if header is None or claims is None or token.key not in {"rsa", "ec"}:
        return False
    now, audience = time.time(), claims.get("aud")
    several = isinstance(audience, list) and len(audience) > 1
    of_us = audience == AUDIENCE or (isinstance(audience, list) and AUDIENCE in audience)
    moments = [claims.get("exp"), claims.get("iat"), claims.get("nbf", 0)]
    return (
        header.get("alg") == {"rsa": "RS256", "ec": "ES256"}[token.key]
        and header.get("kid", token.key[0]) in (None, token.key[0])
        and "crit" not in header
        and claims.get("iss") == ISSUER
        and of_us
        and (claims.get("azp") == AUDIENCE if several or "azp" in claims else True)
        and claims.get("nonce") == NONCE
        and all(map(is_number, moments))
        and moments[0] > now - 122
        and max(moments[1:]) < now + 122
        and isinstance(claims.get("sub"), str)
    )


@pytest.fixture
def keys(wire: Recorded) -> Recorded:
    """The set of an honest issuer."""
    publish(wire, published())
    return wire


def test_any_id_token(keys):
    def holds(token: Token) -> str:
        found = verdict(token.text, keys.url)
        assert found == "bad_id_token" or found.startswith("sub ")
        if found.startswith("sub "):
            assert fits(token), "believed, though something is wrong with it"
            assert found == f"sub {token.claims['sub']}"
        return found if found in {"bad_id_token", "sub ada"} else "sub of another"

    fuzz("id_tokens", tokens(), holds)
    assert len(keys.requests) <= 30, "whatever it says, nobody is called for it"


@pytest.mark.parametrize("case", corpus("id_tokens"), ids=lambda case: case["name"])
def test_the_corpus(keys, case):
    moments = {"now": NOW, "soon": NOW + 600, "later": NOW + 7200, "before": NOW - 7200}

    def filled(name: str, otherwise: str) -> str:
        text = body_of({"body": case[name]}).decode(errors="surrogatepass") if name in case else otherwise
        for word, moment in moments.items():
            text = text.replace(f'"{{{word}}}"', str(moment)).replace(f"{{{word}}}", str(moment))
        return text

    header = filled("header", json.dumps({"alg": "ES256", "kid": "e"}))
    more = json.loads(filled("claims", "{}"))
    payload = filled("payload", json.dumps(good_claims(**more)))
    text = case.get("text") or signed(header, payload, rsa_key() if case.get("key") == "rsa" else ec_key())
    assert verdict(text, keys.url) == case["expect"]
