"""An id_token is what a published, fit key signed for us, and nothing else; sets of keys cost what they may cost."""

from __future__ import annotations

import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mail_oauth.providers import id_tokens
from mail_oauth.providers.documents import MAX_DOCUMENT, document
from mail_oauth.providers.id_tokens import MAX_LENGTH, MOST_KEYS, RSA_BITS
from mail_oauth.refresh.replies import MAX_TOKEN
from mail_oauth.refresh.verdicts import judge
from tests.concurrency import together
from tests.signing import (
    ec_key,
    good_claims,
    hmac_signed,
    jwk_of,
    part,
    publish,
    published,
    rsa_key,
    signed,
    token,
    verdict,
)
from tests.transport.conftest import quick, wire
from tests.verdicts.replies import granted
from tests.wire import Wire

__all__ = ["quick", "wire"]

NOW = int(time.time())
HEADER = {"alg": "RS256", "kid": "r"}


@pytest.fixture(autouse=True)
def keys(wire):
    """The set of an honest issuer is published."""
    publish(wire, published())


@pytest.fixture
def judged(wire):
    return lambda text: verdict(text, wire.url)


def test_what_an_honest_issuer_signs_is_believed(judged):
    assert judged(token()) == judged(token(key=ec_key())) == "sub ada"


class TestAlgorithms:
    @pytest.mark.parametrize(
        "secret",
        [
            rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            rsa_key().public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1),
            rsa_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            json.dumps(published()[0]).encode(),
            published()[0]["n"].encode(),
            b"",
        ],
        ids=["PEM", "PKCS1", "DER", "JWK", "modulus", "empty"],
    )
    @pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
    def test_a_public_key_is_no_secret(self, judged, secret, algorithm):
        assert judged(hmac_signed(good_claims(), secret, algorithm)) == "bad_id_token"

    @pytest.mark.parametrize(
        "alg", ["none", "None", "nOnE", "NONE", "", "rs256", "RS256 ", "RS384", "RS512", "ES256", "EdDSA", "HS256", None, 5, [], {}, ["RS256"], True]
    )  # fmt: skip
    @pytest.mark.parametrize("signature", [True, False])
    def test_any_other_name_is_refused(self, judged, alg, signature):
        text = signed({"alg": alg, "kid": "r"}, good_claims())
        assert judged(text if signature else text.rpartition(".")[0] + ".") == "bad_id_token"

    @pytest.mark.parametrize("member", ["crit", "b64"])
    def test_an_extension_is_not_understood(self, judged, member):
        assert judged(token(**{member: False})) == "bad_id_token"

    @pytest.mark.parametrize("member", ["jku", "x5u", "x5c", "jwk", "x5t"])
    def test_a_key_that_the_token_brings_along_is_neither_used_nor_fetched(self, judged, member):
        mine = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        with Wire() as evil:
            evil.body = json.dumps({"keys": [jwk_of(mine.public_key(), kid="r")]}).encode()
            value = {"jwk": jwk_of(mine.public_key()), "x5c": ["AAAA"]}.get(member, evil.url)
            assert judged(token(key=mine, **{member: value})) == "bad_id_token"
            assert judged(token(key=mine, kid="mine", **{member: value})) == "bad_id_token"
            assert evil.requests == []


class TestForms:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            ".",
            "..",
            "...",
            "a.b.c",
            "a.b.c.d.e",  # encrypted
            token().rpartition(".")[0],
            token() + ".x",
            token() + "=",
            token()[:-4],
            " " + token(),
            token().replace(".", " ."),
            signed("[]", good_claims()),
            signed("null", good_claims()),
            signed("{", good_claims()),
            signed(b"\xff\xfe", good_claims()),
            signed(HEADER, "[]"),
            signed(HEADER, "null"),
            signed(HEADER, "5"),
            signed(HEADER, ""),
            signed(HEADER, b"\xff"),
            signed(HEADER, '{"exp": ' + "9" * 5000 + "}"),
            signed(HEADER, "[" * 10_000 + "]" * 10_000),
            signed(HEADER, '{"a":' * 5000 + "1" + "}" * 5000),
            signed("[" * 10_000, "{}"),
            signed('{"alg": "RS256", "x": ' + "9" * 5000 + "}", good_claims()),
        ],
        ids=lambda text: f"{len(text)} {text[:16]}",
    )
    def test_what_is_no_token_is_refused_and_crashes_nothing(self, judged, text):
        assert judged(text) == "bad_id_token"

    @pytest.mark.parametrize("length", [MAX_LENGTH + 1, 100_000, MAX_TOKEN])
    def test_one_that_is_too_large_is_not_even_read(self, judged, length, monkeypatch):
        monkeypatch.setattr(jwt, "get_unverified_header", lambda _text: pytest.fail("it was read"))
        assert judged("a." * (length // 2) + "a" * (length % 2)) == "bad_id_token"

    def test_a_megabyte_is_not_even_taken(self):
        tokens = judge(granted(id_token="a" * (MAX_TOKEN + 1))).tokens
        assert tokens is not None
        assert tokens.id_token is None

    def test_one_just_within_is_read(self, judged):
        filler = "x" * (MAX_LENGTH * 3 // 4 - 1200)
        text = token(good_claims(filler=filler))
        assert MAX_LENGTH - 2000 < len(text) <= MAX_LENGTH
        assert judged(text) == "sub ada"

    def test_of_a_member_that_stands_twice_all_parsers_take_the_last(self, judged):
        """Were the header's first believed once and its last once, a signature could be checked in the wrong way."""
        assert judged(signed('{"alg": "none", "alg": "RS256", "kid": "r"}', good_claims())) == "sub ada"
        assert judged(signed('{"alg": "RS256", "alg": "none", "kid": "r"}', good_claims())) == "bad_id_token"
        doubled = json.dumps(good_claims())[:-1] + ', "iss": "https://evil.example"}'
        assert judged(signed(HEADER, doubled)) == "bad_id_token"

    def test_what_was_signed_is_what_is_read(self, judged):
        head, _, signature = token().split(".")
        assert judged(f"{head}.{part(good_claims(sub='eve'))}.{signature}") == "bad_id_token"


class TestMoments:
    @pytest.mark.parametrize(
        "claims",
        [
            {"exp": NOW - 3600},
            {"exp": str(NOW + 600)},
            {"exp": f"{NOW + 600}.5"},
            {"exp": True},
            {"exp": [NOW + 600]},
            {"exp": {}},
            {"exp": ""},
            {"exp": -1},
            {"exp": 0},
            {"exp": float("nan")},
            {"exp": float("-inf")},
            {"exp": float("inf")},
            {"iat": NOW + 3600},
            {"iat": str(NOW)},
            {"iat": True},
            {"iat": float("nan")},
            {"iat": float("inf")},
            {"iat": []},
            {"nbf": NOW + 3600},
            {"nbf": str(NOW)},
            {"nbf": False},
            {"nbf": float("nan")},
            {"exp": NOW + 600, "iat": 10**30},
        ],
        ids=repr,
    )
    def test_that_do_not_fit_or_are_no_numbers(self, judged, claims):
        assert judged(token(good_claims(**claims))) == "bad_id_token"

    @pytest.mark.parametrize("missing", ["exp", "iat", "aud", "iss", "sub", "nonce"])
    @pytest.mark.parametrize("as_null", [True, False])
    def test_nothing_that_must_stand_there_is_missing(self, judged, missing, as_null):
        claims = {**good_claims(), missing: None} if as_null else good_claims(**{missing: None})
        assert judged(token(claims)) == "bad_id_token"

    @pytest.mark.parametrize("claims", [{"exp": NOW + 86_400.5}, {"exp": 10**12}, {"iat": NOW + 60}])
    def test_that_are_odd_but_fit(self, judged, claims):
        assert judged(token(good_claims(**claims))) == "sub ada"

    def test_within_what_clocks_may_differ_by(self, judged):
        assert judged(token(good_claims(exp=int(time.time()) - 60))) == "sub ada"


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": ""},
        {"nonce": 5},
        {"nonce": ["nonce-of-this-consent"]},
        {"nonce": {"nonce-of-this-consent": 1}},
        {"nonce": "nonce-of-this-consent\x00"},
        {"nonce": "NONCE-OF-THIS-CONSENT"},
        {"nonce": "\ud800"},
        {"aud": "other"},
        {"aud": []},
        {"aud": ["other"]},
        {"aud": {"client": 1}},
        {"aud": ["client", 5]},
        {"aud": ["client", "other"]},
        {"aud": ["client", "other"], "azp": "other"},
        {"aud": ["client", "other"], "azp": ["client"]},
        {"azp": "other"},
        {"azp": ""},
        {"azp": 0},
        {"iss": "https://issuer.example/"},
        {"iss": "HTTPS://ISSUER.EXAMPLE"},
        {"iss": ["https://issuer.example"]},
        {"sub": 5},
        {"sub": ["ada"]},
    ],
    ids=repr,
)
def test_a_claim_that_is_another(judged, claims):
    assert judged(token(good_claims(**claims))) == "bad_id_token"


class TestKeys:
    def test_a_private_one_is_everybodys(self, judged, wire):
        """Whoever publishes it by mistake has signed whatever anybody likes."""
        for key in (rsa_key(), ec_key()):
            publish(wire, [jwk_of(key, kid="r"), jwk_of(key, kid="e")])
            assert judged(token(key=key)) == "bad_id_token"

    def test_a_secret_one_is_none(self, judged, wire):
        publish(wire, [{"kty": "oct", "kid": "r", "k": "AAAA"}])
        assert judged(hmac_signed(good_claims(), b"\x00\x00\x00")) == "bad_id_token"

    def test_a_weak_one_is_not_believed(self, judged, wire):
        publish(wire, [jwk_of(rsa_key(1024).public_key(), kid="r")])
        assert judged(token(key=rsa_key(1024))) == "bad_id_token"

    def test_one_of_endless_length_is_not_reckoned_with(self):
        for bits, fits in (
            (RSA_BITS[0], True),
            (RSA_BITS[1], True),
            (RSA_BITS[1] + 8, False),
            (RSA_BITS[0] - 8, False),
        ):
            key = rsa.RSAPublicNumbers(65537, 2**bits - 1).public_key()
            assert id_tokens._is_strong(key) is fits

    @pytest.mark.parametrize("curve", [ec.SECP384R1, ec.SECP521R1, ec.SECP256K1])
    def test_one_on_another_curve_is_not_for_this_algorithm(self, judged, wire, curve):
        publish(wire, [jwk_of(ec_key(curve).public_key(), kid="e")])
        assert judged(token(key=ec_key(curve))) == "bad_id_token"

    @pytest.mark.parametrize("use", ["enc", "", 5, ["sig"], {}])
    def test_one_that_is_for_something_else(self, judged, wire, use):
        publish(wire, [{**published()[0], "use": use}])
        assert judged(token()) == "bad_id_token"

    @pytest.mark.parametrize(
        "odd",
        [
            {},
            {"kty": "RSA"},
            {"kty": "RSA", "n": "", "e": ""},
            {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
            {"kty": "RSA", "n": "é", "e": "\ud800"},
            {"kty": "RSA", "n": ["a"], "e": 5},
            {"kty": "RSA", "alg": "none", "n": "AQAB", "e": "AQAB"},
            {"kty": "RSA", "alg": ["RS256"]},
            {"kty": "RSA", "alg": {"a": 1}},
            {"kty": ["RSA"]},
            {"kty": {"RSA": 1}},
            {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
            {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43},
            {"kty": "EC", "crv": ["P-256"]},
            {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
            {"kty": "oct", "k": [1]},
            "x",
            5,
            None,
            [],
        ],
        ids=repr,
    )
    def test_an_odd_one_is_passed_over(self, judged, wire, odd):
        named = [{**odd, "kid": name} for name in "re"] if isinstance(odd, dict) else [odd]
        publish(wire, [*named, *published(), *named])
        assert judged(token()) == judged(token(key=ec_key())) == "sub ada"
        publish(wire, named)
        assert judged(token()) in {"bad_id_token", "bad_jwks"}


class TestSetsOfKeys:
    def test_of_hundreds_the_one_that_is_named_is_found(self, judged, wire):
        publish(wire, [*({**published()[0], "kid": f"k{number}"} for number in range(400)), *published()])
        assert judged(token()) == "sub ada"

    @pytest.mark.parametrize("kid", [None, "r"])
    def test_of_hundreds_only_some_are_tried(self, judged, wire, monkeypatch, kid):
        """A set of equal names, or a token without one, would cost a verification each."""
        other = jwk_of(rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key(), kid="r")
        publish(wire, [other] * 400)
        tried, decode = [], jwt.decode
        monkeypatch.setattr(jwt, "decode", lambda *args, **kwargs: tried.append(1) or decode(*args, **kwargs))
        assert judged(token(kid=kid)) == "bad_id_token"
        assert len(tried) <= 2 * MOST_KEYS

    def test_a_flood_of_unknown_names_makes_no_flood_of_calls(self, judged, wire):
        assert {judged(token(kid=f"unknown-{number}")) for number in range(50)} == {"bad_id_token"}
        assert len(wire.requests) == 2

    def test_nor_when_many_come_at_once(self, judged, wire):
        judged(token())
        assert set(together(8, lambda: judged(token(kid="unknown")))) == {"bad_id_token"}
        assert len(wire.requests) == 2

    def test_nor_when_the_issuer_is_away_just_then(self, judged, wire):
        judged(token())
        wire.status = 503
        found = [judged(token(kid=f"unknown-{number}")) for number in range(20)]
        assert found == ["http_503"] + ["bad_id_token"] * 19
        assert len(wire.requests) == 2
        assert judged(token()) == "sub ada", "the set that is known still serves"

    def test_a_key_that_was_changed_is_fetched(self, judged, wire):
        judged(token())
        new = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        wire.body = json.dumps({"keys": [jwk_of(new.public_key(), kid="new")]}).encode()
        assert judged(token(key=new, kid="new")) == "sub ada"
        assert judged(token()) == "bad_id_token", "the old one is gone"

    @pytest.mark.parametrize("keys", [None, [], {}, "x", 5, [None], [5], [[]], {"r": published()[0]}], ids=repr)
    def test_what_is_no_set_is_a_fault_of_the_provider(self, judged, wire, keys):
        publish(wire, keys)
        assert judged(token()) == "bad_jwks"

    @pytest.mark.parametrize(
        "body",
        [b"", b"[]", b"<html>", b"\xff", b'{"keys": [' + b"[" * 500 + b"]" * 500 + b"]}", '{"keys": []}'.encode("utf-16"), b'{"keys": ' + b"9" * 5000],
        ids=lambda body: repr(body[:20]),
    )  # fmt: skip
    def test_what_is_no_document_neither(self, judged, wire, body):
        wire.body = body
        assert judged(token()) == "http_200"

    @pytest.mark.parametrize(("size", "found"), [(MAX_DOCUMENT, "sub ada"), (MAX_DOCUMENT + 1, "http_200")])
    def test_a_document_may_be_so_long(self, judged, wire, size, found):
        body = json.dumps({"keys": published()}).encode()
        wire.body = body + b" " * (size - len(body))
        assert judged(token()) == found

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_is_not_followed(self, judged, wire, status):
        with Wire() as evil:
            wire.status, wire.headers = status, {"Location": evil.url}
            assert judged(token()) == f"http_{status}"
            assert evil.requests == []


def test_documents_are_fetched_once_in_an_hour(wire):
    for _ in range(10):
        document(wire.url)
    assert len(wire.requests) == 1
