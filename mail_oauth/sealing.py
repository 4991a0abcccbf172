"""Values sealed for one place, and the keyring that seals and opens them; pure, of no settings.

Fernet (encrypt-then-MAC) knows neither a key id nor associated data. A `Sealed` value adds both:

    mo1:<fingerprint>:<fernet token>      with the plaintext   <fingerprint> NUL <place> NUL <secret>

In a cache it may stand packed, as ``mo1b:<fingerprint>:`` and the bytes that the Fernet token stands for. The
fingerprint in clear tells which key is in use without decrypting (``SUBSTR(column, 1, 21)``); its copy inside
authenticates it. The place (table, row UUID and column, or a cache key) makes a blob that was moved elsewhere
unreadable.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn

from cryptography.fernet import Fernet, InvalidToken

from mail_oauth.exceptions import Altered, KeyMissing, Moved, Unbound, UnsealedValue
from mail_oauth.frames import keeps_locals_in
from mail_oauth.tokens import Secret

PREFIX = "mo1"
FINGERPRINT_LENGTH = 16
FERNET_START = "gAAAAA"
"""How a Fernet token begins, up to the year 2106: its version, and the first bytes of its time (Fernet spec)."""

_PACKED = "b"
_PREFIXES = (PREFIX.encode(), f"{PREFIX}{_PACKED}".encode())
_LABEL = re.compile(rb"[0-9a-f]{%d}" % FINGERPRINT_LENGTH)
_SEALED = re.compile(rf"{PREFIX}:[0-9a-f]{{{FINGERPRINT_LENGTH}}}:[A-Za-z0-9_-]+={{0,2}}")

_BIND = "run manage.py mail_oauth bind_values"


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
        return label_of(self.text.encode(errors="replace"))

    @property
    def is_bound(self) -> bool:
        """Whether it claims to be sealed for a place."""
        return self.text.startswith(f"{PREFIX}:")

    @property
    def looks_plain(self) -> bool:
        """Whether this may be a Fernet token as django-fernet-fields' own field writes it."""
        return self.text.startswith(FERNET_START)

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
    """Keys: the first seals, all open. `source` names where they come from, for errors."""

    keys: tuple[Key, ...]
    source: str = "FERNET_KEYS"

    @keeps_locals_in
    def seal(self, secret: Secret, place: str) -> Sealed:
        """Encrypt `secret` for `place`."""
        key = self.keys[0]
        plain = _header(key.fingerprint, place) + secret.reveal()
        return Sealed(f"{PREFIX}:{key.fingerprint}:{key.fernet.encrypt(plain.encode()).decode()}")

    def unseal(self, sealed: Sealed, place: str) -> Secret:
        """Decrypt `sealed`.

        Raises `KeyMissing` when its key is missing, `Altered` when it is not what was stored, `Moved` when it was
        sealed for another place, and `Unbound` when it was sealed for none.
        """
        return self.unseal_stored(sealed.text.encode(errors="replace"), place)

    @keeps_locals_in
    def unseal_stored(self, stored: bytes, place: str) -> Secret:
        """Decrypt a `Sealed` value as a cache gives it, packed or as text; see `unseal` for what is raised."""
        prefix, _, rest = stored.partition(b":")
        label, colon, token = rest.partition(b":")
        if prefix not in _PREFIXES:
            raise Unbound(
                f"What stands at {place} was not sealed for it: if django-fernet-fields wrote it, {_BIND}."
            )
        if not colon or not _LABEL.fullmatch(label):  # what stands there instead may be a token: it is not shown
            raise Altered(f"The value sealed for {place} was altered.")
        token = urlsafe_b64encode(token) if prefix != _PREFIXES[0] else _strict(token, place)
        fingerprint = label.decode()
        for key in self.keys:
            if key.fingerprint == fingerprint:
                break
        else:
            raise KeyMissing(f"No key {fingerprint} in {self.source}: put it back; nothing is lost.", fingerprint)
        header = _header(fingerprint, place).encode()
        try:
            plain = key.fernet.decrypt(token)
            if hmac.compare_digest(plain[: len(header)], header):
                return Secret(plain[len(header) :].decode())
        except (InvalidToken, UnicodeError):
            raise Altered(f"The value sealed for {place} was altered.") from None
        raise Moved(f"A value sealed for another place was found at {place}.")

    @keeps_locals_in
    def open_unbound(self, stored: bytes, place: str) -> Secret:
        """Decrypt what the plain field of django-fernet-fields wrote, which is bound to no place.

        Raises `Unbound` for anything else; for a sealed value, too, of which only its label was cut off.
        """
        for key in self.keys:
            with contextlib.suppress(InvalidToken, UnicodeError):
                plain = key.fernet.decrypt(stored).decode()
                if "\0" not in plain:
                    return Secret(plain)
        raise Unbound(f"What stands at {place} was not sealed for it, and no key opens it as unbound.")


def _strict(token: bytes, place: str) -> bytes:
    """Return base64 as it is; raises `Altered` for letters, bits and padding that decoding would pass over."""
    with contextlib.suppress(ValueError):
        if urlsafe_b64encode(urlsafe_b64decode(token)) == token:
            return token
    raise Altered(f"The value sealed for {place} was altered.")


def label_of(stored: bytes) -> str:
    """Return the fingerprint that a stored value shows in clear, packed or as text; empty where it shows none."""
    prefix, _, rest = stored.partition(b":")
    label, colon, _ = rest.partition(b":")
    return label.decode() if prefix in _PREFIXES and colon and _LABEL.fullmatch(label) else ""


def _header(fingerprint: str, place: str) -> str:
    """Return what stands before the secret; without NUL in its parts no other place has the same."""
    if "\0" in place:
        raise ValueError("The name of a place must not hold NUL.")
    return f"{fingerprint}\0{place}\0"
