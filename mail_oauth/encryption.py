"""The keyring, and values sealed for one place.

Fernet (encrypt-then-MAC) knows neither a key id nor associated data. A `Sealed` value adds both:

    mo1:<fingerprint>:<fernet token>      with the plaintext   <fingerprint> NUL <place> NUL <secret>

In a cache it may stand packed, as ``mo1b:<fingerprint>:`` and the bytes that the Fernet token stands for. The
fingerprint in clear tells which key is in use without decrypting (``SUBSTR(column, 1, 21)``); its copy inside
authenticates it. The place (table, row UUID and column, or a cache key) makes a blob that was moved elsewhere
unreadable. Keys are those of django-fernet-fields: `FERNET_KEYS` and `FERNET_USE_HKDF`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NoReturn

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.core.signals import setting_changed
from fernet_fields.hkdf import derive_fernet_key

from mail_oauth.exceptions import ConfigurationError, KeyMissing, SealError, UnsealedValue
from mail_oauth.frames import keeps_locals_in
from mail_oauth.tokens import Secret

PREFIX = "mo1"
FINGERPRINT_LENGTH = 16
_PACKED = "b"
_PREFIXES = (PREFIX.encode(), f"{PREFIX}{_PACKED}".encode())
_SEALED = re.compile(rf"{PREFIX}:[0-9a-f]{{{FINGERPRINT_LENGTH}}}:[A-Za-z0-9_-]+={{0,2}}")


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted secret, bound to one place. Safe to show, store and pickle; opened by `unseal()`."""

    text: str

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise UnsealedValue("A Sealed value is made by seal(), or from stored text.")

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the key it is sealed under, or an empty string for text that has none."""
        parts = self.text.split(":", 2)
        return parts[1] if len(parts) == 3 and parts[0] == PREFIX else ""

    @property
    def packed(self) -> bytes:
        """The same for a cache, with the Fernet token as the bytes that it stands for: a quarter shorter."""
        prefix, fingerprint, token = self.text.split(":", 2)
        return f"{prefix}{_PACKED}:{fingerprint}:".encode() + urlsafe_b64decode(token)

    @property
    def is_well_formed(self) -> bool:
        """Whether the text has the shape that `seal()` gives it; whether it opens is another question."""
        return _SEALED.fullmatch(self.text) is not None

    def __repr__(self) -> str:
        return f"<Sealed under key {self.fingerprint or 'unknown'}>"


@dataclass(frozen=True)
class Key:
    """One Fernet key."""

    raw: bytes

    @cached_property
    def fernet(self) -> Fernet:
        """The cipher of this key; made once."""
        return Fernet(self.raw)

    @cached_property
    def fingerprint(self) -> str:
        """A short name of the key that reveals nothing of it."""
        return hashlib.sha256(b"mail_oauth key fingerprint\0" + self.raw).hexdigest()[:FINGERPRINT_LENGTH]

    def __reduce__(self) -> NoReturn:
        raise TypeError("Key cannot be pickled: it would write a key in clear.")

    def __repr__(self) -> str:
        return f"<Key {self.fingerprint}>"


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys in use: the first seals, all open."""

    keys: tuple[Key, ...]

    @keeps_locals_in
    def seal(self, secret: Secret, place: str) -> Sealed:
        """Encrypt `secret` for `place`."""
        key = self.keys[0]
        plain = _header(key.fingerprint, place) + secret.reveal()
        return Sealed(f"{PREFIX}:{key.fingerprint}:{key.fernet.encrypt(plain.encode()).decode()}")

    def unseal(self, sealed: Sealed, place: str) -> Secret:
        """Decrypt `sealed`.

        Raises `KeyMissing` when its key is missing, and `SealError` when it was altered, was sealed for another
        place, or not at all.
        """
        return self.unseal_stored(sealed.text.encode(errors="replace"), place)

    @keeps_locals_in
    def unseal_stored(self, stored: bytes, place: str) -> Secret:
        """Decrypt a `Sealed` value as a cache gives it, packed or as text; see `unseal` for what is raised."""
        prefix, _, rest = stored.partition(b":")
        label, colon, token = rest.partition(b":")
        if prefix not in _PREFIXES or not label or not colon:
            raise SealError(f"What stands at {place} was not sealed by this app.")
        if prefix != _PREFIXES[0]:
            token = urlsafe_b64encode(token)
        fingerprint = label.decode("ascii", "replace")
        for key in self.keys:
            if key.fingerprint == fingerprint:
                break
        else:
            raise KeyMissing(f"No key {fingerprint} in FERNET_KEYS: put it back; nothing is lost.")
        header = _header(fingerprint, place).encode()
        try:
            plain = key.fernet.decrypt(token)
            if hmac.compare_digest(plain[: len(header)], header):
                return Secret(plain[len(header) :].decode())
        except (InvalidToken, UnicodeError):
            raise SealError(f"The value sealed for {place} was altered.") from None
        raise SealError(f"A value sealed for another place was found at {place}.")


def _header(fingerprint: str, place: str) -> str:
    """Return what stands before the secret; without NUL in its parts no other place has the same."""
    if "\0" in place:
        raise ValueError("The name of a place must not hold NUL.")
    return f"{fingerprint}\0{place}\0"


@lru_cache(maxsize=1)
@keeps_locals_in
def keyring() -> Keyring:
    """Return the keyring of the settings. Raises `ConfigurationError` on a malformed key."""
    raw_keys = getattr(settings, "FERNET_KEYS", None) or [settings.SECRET_KEY]
    # A string would be taken for a list of one-letter keys, and None be hashed into a key that everyone knows.
    if isinstance(raw_keys, (str, bytes)) or not all(raw and isinstance(raw, (str, bytes)) for raw in raw_keys):
        raise ConfigurationError(
            'FERNET_KEYS must be a list of keys: FERNET_KEYS = [os.environ["MAIL_OAUTH_KEY"]].'
        )
    derive = derive_fernet_key if getattr(settings, "FERNET_USE_HKDF", True) else _as_bytes
    try:
        keyring = Keyring(tuple(Key(derive(raw)) for raw in raw_keys))
        [key.fernet for key in keyring.keys]
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            "FERNET_KEYS holds a value that is not a key: with FERNET_USE_HKDF = False each must be "
            "what Fernet.generate_key() prints."
        ) from error
    return keyring


def _as_bytes(raw: str | bytes) -> bytes:
    return raw.encode() if isinstance(raw, str) else raw


def seal(secret: Secret, place: str) -> Sealed:
    """Encrypt `secret` for `place` under the first key of the settings."""
    return keyring().seal(secret, place)


def unseal(sealed: Sealed, place: str) -> Secret:
    """Decrypt `sealed`; see `Keyring.unseal` for what is raised."""
    return keyring().unseal(sealed, place)


def unseal_stored(stored: bytes, place: str) -> Secret:
    """Decrypt stored text; see `Keyring.unseal` for what is raised."""
    return keyring().unseal_stored(stored, place)


def fingerprint_of(secret: Secret) -> str:
    """Return a short keyed fingerprint, by which people compare tokens without seeing them."""
    digest = hmac.new(keyring().keys[0].raw, b"token\0" + secret.reveal().encode(), hashlib.sha256)
    return digest.hexdigest()[:12]


def _forget(*, setting: str, **_: Any) -> None:
    if setting in {"FERNET_KEYS", "FERNET_USE_HKDF", "SECRET_KEY"}:
        keyring.cache_clear()


setting_changed.connect(_forget, dispatch_uid="mail_oauth.encryption")
