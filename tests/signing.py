"""An issuer of id_tokens whose every part can be forged: its keys, their set, headers, claims and signatures."""

from __future__ import annotations

import base64
import hmac
import json
import time
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from mail_oauth.exceptions import ConnectRefused, TransportError
from mail_oauth.providers.id_tokens import verified_claims
from mail_oauth.tokens import Secret
from tests.wire import Recorded

ISSUER, AUDIENCE, NONCE = "https://issuer.example", "client", "nonce-of-this-consent"


@cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def ec_key(curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve())


def jwk_of(key: Any, **members: Any) -> dict[str, Any]:
    """A key as it is published; a private one with its secret parts."""
    algorithm = RSAAlgorithm if isinstance(key, (rsa.RSAPublicKey, rsa.RSAPrivateKey)) else ECAlgorithm
    return {**algorithm.to_jwk(key, as_dict=True), **members}


def published() -> list[dict[str, Any]]:
    """The key set of an honest issuer."""
    return [
        jwk_of(rsa_key().public_key(), kid="r", use="sig", alg="RS256"),
        jwk_of(ec_key().public_key(), kid="e", use="sig"),
    ]


def good_claims(**changes: Any) -> dict[str, Any]:
    """What an id_token must say; a change to None leaves a claim out."""
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "nonce": NONCE,
        "iat": now,
        "exp": now + 600,
        "email": "ada@example.com",
    }
    return {name: value for name, value in {**claims, **changes}.items() if value is not None}


def part(value: Any) -> str:
    """A segment of a token: of JSON, text or bytes."""
    raw = value if isinstance(value, bytes) else (value if isinstance(value, str) else json.dumps(value)).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: Any, payload: Any, key: Any = None) -> str:
    """A token with a true signature over whatever header and payload, as RS256 or ES256 by the kind of key."""
    key, text = key or rsa_key(), f"{part(header)}.{part(payload)}"
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    else:
        size = (key.curve.key_size + 7) // 8
        numbers = decode_dss_signature(key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        signature = b"".join(number.to_bytes(size, "big") for number in numbers)
    return f"{text}.{part(signature)}"


def token(claims: dict[str, Any] | None = None, *, key: Any = None, **header: Any) -> str:
    """An id_token like an honest issuer's, with these claims and header parameters instead."""
    key = key or rsa_key()
    own = {"alg": "RS256", "kid": "r"} if isinstance(key, rsa.RSAPrivateKey) else {"alg": "ES256", "kid": "e"}
    given = {name: value for name, value in {**own, "typ": "JWT", **header}.items() if value is not None}
    return signed(given, good_claims() if claims is None else claims, key)


def publish(wire: Recorded, keys: Any) -> None:
    """Let a server give out this key set, under an address that nobody has read yet."""
    wire.body = json.dumps({"keys": keys}).encode()
    wire.url = wire.url.partition("?")[0] + f"?{time.monotonic_ns()}"


def verdict(text: str, jwks_url: str) -> str:
    """What becomes of an id_token: its subject, or the code of the refusal."""
    try:
        claims = verified_claims(
            Secret(text),
            jwks_url=jwks_url,
            audience=AUDIENCE,
            nonce=NONCE,
            issuer=lambda claims: claims.get("iss") == ISSUER,
        )
    except ConnectRefused as refused:
        return refused.code
    except TransportError as error:
        return error.cause
    return f"sub {claims['sub']}"


def hmac_signed(claims: dict[str, Any], secret: bytes, algorithm: str = "HS256") -> str:
    """A token signed with what everybody knows, a public key."""
    text = f"{part({'alg': algorithm, 'kid': 'r', 'typ': 'JWT'})}.{part(claims)}"
    digest = hmac.new(secret, text.encode(), "sha" + algorithm[2:]).digest()
    return f"{text}.{part(digest)}"
