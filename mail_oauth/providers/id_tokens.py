"""Verifying id_tokens (OIDC Core §3.1.3.7), by PyJWT and the provider's published keys."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import Any

import jwt

from mail_oauth.exceptions import ConnectRefused, TransportError
from mail_oauth.providers.documents import REFETCH_SECONDS, document
from mail_oauth.tokens import Secret

ALGORITHMS = ("RS256", "PS256", "ES256")
"""Never `none`, and never HS*: a public key would be its secret."""

MAX_LENGTH = 64 * 1024
LEEWAY_SECONDS = 120


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
        header = jwt.get_unverified_header(text)
        key = _signing_key(jwks_url, header.get("kid"), header.get("alg"))
        if "crit" in header:  # RFC 7515 §4.1.11: no extension is understood here
            raise ConnectRefused("bad_id_token", "It has critical header parameters.")
        claims: dict[str, Any] = jwt.decode(
            text,
            key.key,
            algorithms=[header["alg"]],
            audience=audience,
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp", "iat", "aud", "iss", "sub"]},
        )
    except (jwt.PyJWTError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        # PyJWT lets some of what odd members make Python raise through.
        raise ConnectRefused("bad_id_token", type(error).__name__) from None
    if not issuer(claims):
        raise ConnectRefused("bad_id_token", "The issuer is another.")
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), nonce.encode()):
        raise ConnectRefused("bad_id_token", "The nonce is another.")
    if claims.get("azp", audience) != audience:
        raise ConnectRefused("bad_id_token", "The token was issued to another client.")
    return claims


def _signing_key(jwks_url: str, kid: Any, algorithm: Any) -> jwt.PyJWK:
    """Find the key that signed; a key not seen yet makes the set be fetched anew, once a minute at most."""
    if algorithm not in ALGORITHMS:
        raise ConnectRefused("bad_id_token", "The algorithm is not allowed.")
    for age in (None, REFETCH_SECONDS):
        keys = document(jwks_url) if age is None else document(jwks_url, at_most=age)
        for key in _usable(keys):
            if kid in (None, key.key_id):
                return key
    raise ConnectRefused("bad_id_token", "No published key signed it.")


def _usable(keys: dict[str, Any]) -> list[jwt.PyJWK]:
    try:
        return [key for key in jwt.PyJWKSet.from_dict(keys).keys if key.public_key_use in (None, "sig")]
    except jwt.PyJWTError:
        raise TransportError("The provider's key set cannot be read.", cause="bad_jwks") from None
