"""Google's service accounts with domain-wide delegation: an assertion opens one mailbox of a Workspace domain.

`developers.google.com/identity/protocols/oauth2/service-account`, RFC 7523 §2.1.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from mail_oauth.exceptions import ConfigurationError
from mail_oauth.frames import keeps_locals_in
from mail_oauth.providers.certificates import read_text
from mail_oauth.tokens import Secret

LIFE_SECONDS = 3600
"""How long an assertion may be good at the most; Google counts the token's own life apart."""


_EARLY_SECONDS = 30
"""By so much an assertion begins earlier: Google's clock may be behind this host's."""


class Key(NamedTuple):
    """A service account and one of its keys, as Google's JSON file names them."""

    email: str
    key_id: str
    key: RSAPrivateKey


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """Makes assertions. `source` is the path of the JSON file, or its text; `where` is the option, for messages."""

    source: str | Secret
    where: str

    @keeps_locals_in
    def assertion(self, *, subject: str, scope: str, audience: str) -> Secret:
        """Return an assertion by which the mailbox `subject` is opened under `scope`. Raises `ConfigurationError`."""
        account, begins_at = self.key(), int(time.time()) - _EARLY_SECONDS
        claims = {
            "iss": account.email,
            "sub": subject,
            "scope": scope,
            "aud": audience,
            "iat": begins_at,
            "exp": begins_at + LIFE_SECONDS,
        }
        return Secret(jwt.encode(claims, account.key, algorithm="RS256", headers={"kid": account.key_id}))

    @keeps_locals_in
    def key(self) -> Key:
        """Return the key as the file has it now. Raises `ConfigurationError`."""
        text = self.source if isinstance(self.source, Secret) else read_text(self.source, self.where)
        try:
            return _key_in(text)
        except _Unfit as unfit:
            told = str(unfit)
        raise ConfigurationError(
            f"{self.where} {told}: write the JSON file of a key that Google made, or its path."
        )


class _Unfit(Exception):
    """What is wrong, in words that follow the option's name."""


@lru_cache(maxsize=32)
def _key_in(text: Secret) -> Key:
    try:
        fields: Any = json.loads(text.reveal())
    except (ValueError, RecursionError):
        raise _Unfit("is no JSON") from None
    if not isinstance(fields, dict) or fields.get("type") != "service_account":
        raise _Unfit('is of no service account ("type": "service_account")')
    lacking = [
        name for name in ("client_email", "private_key_id", "private_key") if not _is_text(fields.get(name))
    ]
    if lacking:
        raise _Unfit(f"lacks {', '.join(lacking)}")
    return Key(fields["client_email"], fields["private_key_id"], _loaded(fields["private_key"]))


def _loaded(pem: str) -> RSAPrivateKey:
    try:
        found: Any = serialization.load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        found = None
    if isinstance(found, RSAPrivateKey):
        return found
    raise _Unfit("has a private_key that cannot be read")


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)
