"""Verifying id_tokens (OIDC Core §3.1.3.7), by PyJWT and the provider's published keys."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from mail_oauth.exceptions import ConnectRefused, TransportError
from mail_oauth.frames import keeps_locals_in
from mail_oauth.providers.documents import document
from mail_oauth.tokens import Secret

KEY_TYPES = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC"}
"""The algorithms that are allowed, and the kind of key of each.

Never `none`, and never HS*: a public key would be its secret.
"""

MAX_LENGTH = 64 * 1024
"""The longest id_token, in characters."""

LEEWAY_SECONDS = 120
"""By how much the clocks of provider and site may differ."""

MOST_KEYS = 50
"""How many keys of a set are tried: a token without `kid` costs a verification with each."""

RSA_BITS = (2048, 8192)
"""The shortest and the longest RSA key that is believed."""

SigningKey = RSAPublicKey | EllipticCurvePublicKey


@keeps_locals_in
def verified_claims(
    id_token: Secret,
    *,
    jwks_url: str,
    audience: str,
    nonce: str,
    issuer: Callable[[Mapping[str, Any]], bool],
) -> dict[str, Any]:
    """Return the claims of an id_token. Raises `ConnectRefused`, or `TransportError` for want of keys."""
    text = id_token.reveal()
    if len(text) > MAX_LENGTH:
        raise ConnectRefused("bad_id_token", "The id_token is too large.")
    try:
        claims = _signed_claims(text, jwks_url, audience)
    except (jwt.PyJWTError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        # PyJWT lets some of what odd members make Python raise through.
        raise ConnectRefused("bad_id_token", type(error).__name__) from None
    if not all(type(claims.get(name, 0)) in (int, float) for name in ("exp", "iat", "nbf")):
        raise ConnectRefused("bad_id_token", "A moment is no number.")  # PyJWT reads text as well
    if not issuer(claims):
        raise ConnectRefused("bad_id_token", "The issuer is another.")
    said = claims.get("nonce")
    if not isinstance(said, str) or not hmac.compare_digest(said.encode(errors="replace"), nonce.encode()):
        raise ConnectRefused("bad_id_token", "The nonce is another.")
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if claims.get("azp", None if several else audience) != audience:
        raise ConnectRefused("bad_id_token", "The token was issued to another client.")
    return claims


def _signed_claims(text: str, jwks_url: str, audience: str) -> dict[str, Any]:
    header = jwt.get_unverified_header(text)
    if header.get("alg") not in KEY_TYPES:
        raise ConnectRefused("bad_id_token", "The algorithm is not allowed.")
    if "crit" in header:  # RFC 7515 §4.1.11: no extension is understood here
        raise ConnectRefused("bad_id_token", "It has critical header parameters.")
    for key in _signing_keys(jwks_url, header):
        try:
            claims: dict[str, Any] = jwt.decode(
                text,
                key,
                algorithms=[header["alg"]],
                audience=audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "aud", "iss", "sub"]},
            )
        except jwt.InvalidSignatureError:
            continue
        return claims
    raise ConnectRefused("bad_id_token", "No published key signed it.")


def _signing_keys(jwks_url: str, header: Mapping[str, Any]) -> Iterator[SigningKey]:
    """Yield the keys that may have signed; when none did, those of a set fetched anew, once a minute at most."""
    for renew in (False, True):
        yield from usable_keys(document(jwks_url, renew=renew), header)


def usable_keys(key_set: Mapping[str, Any], header: Mapping[str, Any]) -> Iterator[SigningKey]:
    """Yield the keys of a set that may have signed a token with this header.

    Raises `TransportError` for what is no key set.
    """
    for published in _candidates(key_set, header):
        key = _key(published, header["alg"])
        if key is not None and _is_strong(key):
            yield key


def _candidates(key_set: Mapping[str, Any], header: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a key set says of those keys, `MOST_KEYS` at most. Raises `TransportError` for what is none."""
    published = key_set.get("keys")
    keys = [key for key in published if isinstance(key, dict)] if isinstance(published, list) else []
    if not keys:
        raise TransportError("The provider's key set cannot be read.", cause="bad_jwks")
    kid, kty = header.get("kid"), KEY_TYPES[header["alg"]]
    fitting = (
        key
        for key in keys
        if kid in (None, key.get("kid"))  # without a name (RFC 7515 §4.1.4) each is tried
        and key.get("kty") == kty
        and key.get("use") in (None, "sig")
    )
    return list(islice(fitting, MOST_KEYS))


def _key(published: dict[str, Any], algorithm: str) -> SigningKey | None:
    """Return a published key; one that cannot be read, or is private and so is everybody's, spoils no other.

    It is read for the token's algorithm: what a set names may be anything, and PyJWT would follow it.
    """
    try:
        key = jwt.PyJWK(published, algorithm).key
    except (jwt.PyJWTError, AttributeError, TypeError, ValueError, ArithmeticError):
        return None
    return key if isinstance(key, (RSAPublicKey, EllipticCurvePublicKey)) else None


def _is_strong(key: SigningKey) -> bool:
    """Tell whether a key is as long as RFC 7518 §3.3 and §3.4 want it, and no longer than anybody needs."""
    if isinstance(key, RSAPublicKey):
        return RSA_BITS[0] <= key.key_size <= RSA_BITS[1]
    return isinstance(key.curve, SECP256R1)
