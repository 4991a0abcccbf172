"""A client that shows who it is by a signature, or by a token of its platform, instead of a secret (RFC 7523 §2.2).

Microsoft's `certificate-credentials.md` and `workload-identity-federation.md`. What an assertion is made of is read anew
for each: a certificate, or a platform's token, that is replaced in its file is in use from the next call on.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.x509 import Certificate, load_pem_x509_certificate

from mail_oauth.exceptions import ConfigurationError
from mail_oauth.frames import keeps_locals_in
from mail_oauth.tokens import Secret

ALGORITHMS = {"PS256": ("x5t#S256", hashlib.sha256), "RS256": ("x5t", hashlib.sha1)}
"""How an assertion may be signed; by which header it then names the certificate, and of which digest."""

LIFE_SECONDS = 300
"""How long an assertion is good: five to ten minutes, as Microsoft recommends."""

_EARLY_SECONDS = 30
"""By so much `nbf` lies back: the provider's clock may be behind this host's."""

_LONGEST_FILE = 128 * 1024
_JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_KEY = re.compile(r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.+?-----END \1-----", re.DOTALL)


class Pair(NamedTuple):
    """A certificate and its private key."""

    key: RSAPrivateKey
    certificate: Certificate

    @property
    def ends_at(self) -> datetime:
        """When the certificate ends, in UTC."""
        return self.certificate.not_valid_after_utc

    def thumbprint(self, algorithm: str) -> dict[str, str]:
        """Return the header by which an assertion names the certificate (RFC 7515 §4.1.7 and §4.1.8)."""
        name, digest = ALGORITHMS[algorithm]
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        return {name: base64.urlsafe_b64encode(digest(der).digest()).decode().rstrip("=")}


@dataclass(frozen=True, slots=True)
class SignedAssertion:
    """Makes assertions of a client, signed with the key of its certificate (`private_key_jwt`, OIDC Core §9).

    `source` is the path of a PEM file that has both, or its text; `where` is the option, for messages.
    """

    client_id: str
    source: str | Secret
    algorithm: str
    where: str

    @keeps_locals_in
    def __call__(self, audience: str) -> Secret:
        """Return an assertion for the token endpoint `audience`. Raises `ConfigurationError`."""
        pair, now = self.pair(), int(time.time())
        claims = {
            "aud": audience,
            "iss": self.client_id,
            "sub": self.client_id,
            "jti": str(uuid4()),
            "iat": now,
            "nbf": now - _EARLY_SECONDS,
            "exp": now + LIFE_SECONDS,
        }
        signed = jwt.encode(claims, pair.key, algorithm=self.algorithm, headers=pair.thumbprint(self.algorithm))
        return Secret(signed)

    @keeps_locals_in
    def pair(self) -> Pair:
        """Return certificate and key as they are now. Raises `ConfigurationError` where they are none, or no pair."""
        text = self.source if isinstance(self.source, Secret) else read_text(self.source, self.where)
        try:
            return _pair_in(text)
        except _Unfit as unfit:
            told = str(unfit)
        raise ConfigurationError(f"{self.where} {told}")


@dataclass(frozen=True, slots=True)
class FederatedAssertion:
    """Shows the token that a platform keeps in a file for this workload (AKS, GitHub, SPIFFE …)."""

    path: str
    where: str

    def __call__(self, audience: str) -> Secret:
        """Return the token as it is now. Raises `ConfigurationError`."""
        return self.token()

    @keeps_locals_in
    def token(self) -> Secret:
        """Return it. Raises `ConfigurationError` for a file that cannot be read, or holds none."""
        text = read_text(self.path, self.where).reveal().strip()
        if not _JWT.fullmatch(text):
            raise ConfigurationError(f"{self.where} names a file that holds no JWT.")
        return Secret(text)


def source_of(option: Any) -> str | Secret:
    """Return what an option gives that may be a path, or the text itself."""
    return option if isinstance(option, Secret) else str(option)


def read_text(path: str, where: str) -> Secret:
    """Return what stands in a file. Raises `ConfigurationError` that names the option `where`, and nothing of the file."""
    try:
        with Path(path).open("rb") as file:
            return Secret(file.read(_LONGEST_FILE).decode())
    except OSError as error:
        cause = type(error).__name__
    except UnicodeDecodeError:
        cause = "it is no text"
    raise ConfigurationError(f"{where} names a file that cannot be read ({cause}): {path}")


class _Unfit(Exception):
    """What is wrong with a certificate, in words that follow the option's name."""


@lru_cache(maxsize=32)
def _pair_in(pem: Secret) -> Pair:
    text = pem.reveal()
    key, certificate = _KEY.search(text), _CERTIFICATE.search(text)
    if key is None or certificate is None:
        lacking = "private key" if key is None else "certificate"
        raise _Unfit(
            f"has no {lacking} in it: it wants a PEM file with both, the certificate and its private key."
        )
    pair = Pair(_loaded_key(key[0]), _loaded_certificate(certificate[0]))
    if pair.key.public_key() != pair.certificate.public_key():
        raise _Unfit("has a private key that is not the certificate's.")
    return pair


def _loaded_key(pem: str) -> RSAPrivateKey:
    found: Any = None
    try:
        found = serialization.load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        why = "is encrypted" if isinstance(error, TypeError) or "ENCRYPTED" in pem else "cannot be read"
        raise _Unfit(
            f"has a private key that {why}: write it unencrypted, in a file that others may not read."
        ) from None
    if isinstance(found, RSAPrivateKey):
        return found
    raise _Unfit("has a private key that is none of RSA, which alone Microsoft takes.")


def _loaded_certificate(pem: str) -> Certificate:
    try:
        return load_pem_x509_certificate(pem.encode())
    except ValueError:
        raise _Unfit("has a certificate that cannot be read.") from None


def has_ended(pair: Pair) -> bool:
    """Tell whether its time is over."""
    return pair.ends_at <= datetime.now(UTC)
