"""The fake provider's signing keys: RS256 id_tokens and the JWKS that verifies them."""

import hashlib
import json
import threading
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm


class SigningKey:
    """One RSA key and the ``kid`` under which it is published."""

    __slots__ = ("jwk", "kid", "private")

    def __init__(self) -> None:
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = dict(RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True))
        # The JWK thumbprint (RFC 7638) over the required members in lexical order.
        members = json.dumps({name: public[name] for name in ("e", "kty", "n")}, separators=(",", ":"))
        self.kid = hashlib.sha256(members.encode()).hexdigest()[:20]
        self.jwk: dict[str, Any] = {**public, "use": "sig", "alg": "RS256", "kid": self.kid}

    def __repr__(self) -> str:
        return f"<SigningKey {self.kid}>"


@lru_cache(maxsize=1)
def _first_key() -> SigningKey:
    """The key that every provider of this process begins with: to make one takes some 60 ms."""
    return SigningKey()


class KeySet:
    """The published keys; the newest signs. A test that needs a key of its own calls `rotate`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: list[SigningKey] = []

    @property
    def current(self) -> SigningKey:
        """The key that signs now."""
        with self._lock:
            if not self._keys:
                self._keys.append(_first_key())
            return self._keys[-1]

    def rotate(self, *, keep_old: bool = True) -> str:
        """Sign with a new key from now on; without ``keep_old`` the JWKS forgets the others. Its ``kid``."""
        fresh = SigningKey()
        with self._lock:
            self._keys = [*self._keys, fresh] if keep_old else [fresh]
        return fresh.kid

    def jwks(self) -> dict[str, Any]:
        """The JSON Web Key Set as published."""
        newest = self.current
        with self._lock:
            return {"keys": [key.jwk for key in self._keys] or [newest.jwk]}

    def sign(
        self,
        claims: Mapping[str, object],
        *,
        algorithm: str = "RS256",
        headers: Mapping[str, object] | None = None,
    ) -> str:
        """A JWT over ``claims``.

        ``algorithm`` may also be ``none`` or ``HS256`` (keyed with the public key's ``n``, the classic
        confusion attack), so that a client's refusal can be tested.
        """
        key = self.current
        keys: dict[str, Any] = {"RS256": key.private, "PS256": key.private, "none": None}
        secret = keys[algorithm] if algorithm in keys else str(key.jwk["n"])
        return jwt.encode(dict(claims), secret, algorithm, headers={"kid": key.kid, **(headers or {})})
