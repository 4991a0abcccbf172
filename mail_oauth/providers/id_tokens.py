"""Verifying id_tokens (OIDC Core §3.1.3.7), by PyJWT and the provider's published keys."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jwt

from mail_oauth.exceptions import ConnectRefused, TransportError
from mail_oauth.frames import keeps_locals_in
from mail_oauth.providers.documents import document
from mail_oauth.tokens import Secret

_KEY_TYPES = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC"}
"""The algorithms that are allowed, and the kind of key of each.

Never `none`, and never HS*: a public key would be its secret.
"""

MAX_LENGTH = 64 * 1024
LEEWAY_SECONDS = 120


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
    if not issuer(claims):
        raise ConnectRefused("bad_id_token", "The issuer is another.")
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(errors="replace"), nonce.encode()):
        raise ConnectRefused("bad_id_token", "The nonce is another.")
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if claims.get("azp", None if several else audience) != audience:
        raise ConnectRefused("bad_id_token", "The token was issued to another client.")
    return claims


def _signed_claims(text: str, jwks_url: str, audience: str) -> dict[str, Any]:
    header = jwt.get_unverified_header(text)
    if header.get("alg") not in _KEY_TYPES:
        raise ConnectRefused("bad_id_token", "The algorithm is not allowed.")
    if "crit" in header:  # RFC 7515 §4.1.11: no extension is understood here
        raise ConnectRefused("bad_id_token", "It has critical header parameters.")
    for key in _signing_keys(jwks_url, header):
        try:
            claims: dict[str, Any] = jwt.decode(
                text,
                key.key,
                algorithms=[header["alg"]],
                audience=audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "aud", "iss", "sub"]},
            )
        except jwt.InvalidSignatureError:
            continue
        return claims
    raise ConnectRefused("bad_id_token", "No published key signed it.")


def _signing_keys(jwks_url: str, header: Mapping[str, Any]) -> Iterator[jwt.PyJWK]:
    """Yield the keys that may have signed; when none did, those of a set fetched anew, once a minute at most."""
    for renew in (False, True):
        for key in _usable(document(jwks_url, renew=renew)):
            named = header.get("kid") in (None, key.key_id)  # without a name (RFC 7515 §4.1.4) each is tried
            if named and key.key_type == _KEY_TYPES[header["alg"]]:
                yield key


def _usable(document: Mapping[str, Any]) -> list[jwt.PyJWK]:
    """Return the keys for signatures; one that cannot be read does not spoil the others."""
    published = document.get("keys")
    keys = [key for each in published if (key := _key(each))] if isinstance(published, list) else []
    if not keys:
        raise TransportError("The provider's key set cannot be read.", cause="bad_jwks")
    return [key for key in keys if key.public_key_use in (None, "sig")]


def _key(published: Any) -> jwt.PyJWK | None:
    try:
        return jwt.PyJWK(published)
    except (jwt.PyJWTError, AttributeError, TypeError, ValueError, ArithmeticError):
        return None
