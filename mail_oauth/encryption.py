"""The keys in use, and what is sealed and opened with them.

They are those of django-fernet-fields, `FERNET_KEYS` and `FERNET_USE_HKDF`, or come from a file or a KMS
(`mail_oauth.keysource`). `mail_oauth.sealing` says what a sealed value is.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import threading
import time
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.signals import setting_changed
from fernet_fields.hkdf import derive_fernet_key

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError, KeyMissing, Unbound
from mail_oauth.frames import keeps_locals_in
from mail_oauth.keysource import can_change, raw_keys, source_name
from mail_oauth.sealing import Key, Keyring, Sealed
from mail_oauth.tokens import Secret

logger = logging.getLogger(__name__)

REREAD_SECONDS = 5.0
"""How long a file or callable with keys is left alone after it was asked."""

_MOST_TOLD = 100
"""So many missing keys are told of: fingerprints that somebody made up shall fill no log."""


class _KeysInUse:
    """The keyring of this process. Settings are read once; a file or a callable once more when a key is missed."""

    def __init__(self) -> None:
        """Begin with nothing read."""
        self._lock = threading.Lock()
        self._ring: Keyring | None = None
        self._failure: ConfigurationError | None = None
        self._read_at = float("-inf")
        self._told: set[str] = set()

    def ring(self) -> Keyring:
        """Return the keys; a source that failed just now is not asked again at once."""
        held = self._ring
        if held is not None:
            return held
        with self._lock:
            if self._ring is None:
                if self._failure is not None and self._was_read_just_now():
                    raise type(self._failure)(*self._failure.args)
                try:
                    self._ring = self._read()
                except ConfigurationError as error:
                    self._failure = error
                    raise
            return self._ring

    def renewed(self, missed: Keyring) -> Keyring:
        """Return the keys as they are after one was missed in `missed`: it may have been added meanwhile."""
        with self._lock:
            if self._ring is missed and can_change() and not self._was_read_just_now():
                try:
                    self._ring = self._read()
                except ConfigurationError as error:
                    logger.error("%s; those that were read before are kept", error, extra={"action": "keys"})
            return self._ring or missed

    def tell_missing(self, fingerprint: str) -> None:
        """Tell the operator of a missing key, once for each: every value under it would say the same."""
        if fingerprint not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add(fingerprint)
            about = {"action": "key_missing", "key": fingerprint}
            logger.error(
                "no key %s in %s, but values are sealed under it: put it back",
                fingerprint,
                source_name(),
                extra=about,
            )

    def forget(self) -> None:
        """Begin anew: settings have changed."""
        self.__init__()  # type: ignore[misc]

    def renew_lock(self) -> None:
        """Take another lock: this is a forked child, and a thread of its parent may hold the old one."""
        self._lock = threading.Lock()

    def _was_read_just_now(self) -> bool:
        return time.monotonic() - self._read_at < REREAD_SECONDS

    @keeps_locals_in
    def _read(self) -> Keyring:
        self._read_at = time.monotonic()
        derive = derive_fernet_key if getattr(settings, "FERNET_USE_HKDF", True) else _as_bytes
        raws, source = raw_keys(), source_name()
        try:
            ring = Keyring(tuple(Key(derive(raw)) for raw in raws), source)
            [key.fernet for key in ring.keys]
        except (ValueError, TypeError):
            raise ConfigurationError(
                f"{source} holds a value that is not a key: with FERNET_USE_HKDF = False each must be "
                "what manage.py mail_oauth generate_key (or Fernet.generate_key()) prints."
            ) from None
        self._told.clear()
        return ring


_keys = _KeysInUse()


os.register_at_fork(after_in_child=_keys.renew_lock)


def keyring() -> Keyring:
    """Return the keys in use. Raises `ConfigurationError` where there are none, or what is there is no key."""
    return _keys.ring()


def _as_bytes(raw: str | bytes) -> bytes:
    return raw.encode() if isinstance(raw, str) else raw


def new_key() -> str:
    """Return a new random key: 32 bytes in URL-safe base64, which is right whatever `FERNET_USE_HKDF` says."""
    return Fernet.generate_key().decode()


def seal(secret: Secret, place: str) -> Sealed:
    """Encrypt `secret` for `place` under the first key of the settings."""
    return keyring().seal(secret, place)


def unseal(sealed: Sealed, place: str) -> Secret:
    """Decrypt what a column holds; see `Keyring.unseal` for what is raised.

    With `ACCEPT_UNBOUND` also what the plain field of django-fernet-fields wrote there.
    """
    stored = sealed.text.encode()
    try:
        return unseal_stored(stored, place)
    except Unbound:
        if not app_settings().accept_unbound:
            raise
    return keyring().open_unbound(stored, place)


def unseal_stored(stored: bytes, place: str) -> Secret:
    """Decrypt a stored value; see `Keyring.unseal` for what is raised.

    Where its key is missing, a file or callable that keys come from is asked once more, every `REREAD_SECONDS` at the
    most.
    """
    ring = keyring()
    try:
        return ring.unseal_stored(stored, place)
    except KeyMissing as missing:
        renewed = _keys.renewed(ring)
        if renewed is ring:
            _keys.tell_missing(missing.fingerprint)
            raise
    return renewed.unseal_stored(stored, place)


def fingerprint_of(secret: Secret) -> str:
    """Return a short keyed fingerprint, by which people compare tokens without seeing them."""
    digest = hmac.new(keyring().keys[0].raw, b"token\0" + secret.reveal().encode(), hashlib.sha256)
    return digest.hexdigest()[:12]


def digests_of(text: str) -> tuple[str, ...]:
    """Return keyed digests of what must be known again and never be read, under each key; that of the first comes first."""
    return tuple(
        hmac.new(key.raw, b"remembered\0" + text.encode(), hashlib.sha256).hexdigest() for key in keyring().keys
    )


def _forget(*, setting: str, **_: Any) -> None:
    if setting in {"FERNET_KEYS", "FERNET_USE_HKDF", "SECRET_KEY", "MAIL_OAUTH"}:
        _keys.forget()


setting_changed.connect(_forget, dispatch_uid="mail_oauth.encryption")
