"""The values that travel between the rooms: secrets, tokens, identities.

All are frozen, and none shows a secret in `repr`, `str`, a pickle or JSON.
"""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NoReturn


class Secret:
    """A string that is shown nowhere; `reveal()` is the one way to read it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        """Wrap `value`."""
        self._value = value

    def reveal(self) -> str:
        """Return the plain string."""
        return self._value

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: hidden, call .reveal()>"

    def __len__(self) -> int:
        return len(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be pickled: it would write a secret in clear.")


class AccessToken(Secret):
    """An access token with its lifetime.

    `generation` numbers the state of the mailbox that the token belongs to.
    """

    __slots__ = ("_expiry", "_issued", "generation")

    def __init__(self, value: str, *, issued_at: datetime, expires_at: datetime, generation: int) -> None:
        """Wrap `value`, valid from `issued_at` until `expires_at`, both aware."""
        self._value = value
        self._issued = issued_at.timestamp()
        self._expiry = expires_at.timestamp()
        self.generation = generation

    @classmethod
    def of_epoch(cls, value: str, issued: float, expiry: float, generation: int) -> AccessToken:
        """Wrap `value`, valid between two moments that are counted in seconds since 1970."""
        token = cls.__new__(cls)
        token._value = value
        token._issued = issued
        token._expiry = expiry
        token.generation = generation
        return token

    @property
    def issued_at(self) -> datetime:
        """When it was issued, as an aware UTC datetime."""
        return datetime.fromtimestamp(self._issued, UTC)

    @property
    def expires_at(self) -> datetime:
        """When its life ends, as an aware UTC datetime."""
        return datetime.fromtimestamp(self._expiry, UTC)

    @property
    def epochs(self) -> tuple[int, int]:
        """When it was issued, and when its life ends, in whole seconds since 1970."""
        return int(self._issued), int(self._expiry)

    @property
    def lifetime(self) -> float:
        """How many seconds the token was issued for."""
        return round(self._expiry - self._issued, 6)

    def seconds_left(self, now: datetime | None = None) -> float:
        """How many seconds of its life remain, at `now` unless told."""
        return self._expiry - (time.time() if now is None else now.timestamp())

    def minutes_left(self) -> int:
        """How many minutes of its life remain, as people count them: to the nearest, and never less than one."""
        return max(1, round(self.seconds_left() / 60))


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenSet:
    """What a token endpoint gave (RFC 6749 §5.1), parsed and checked.

    `expires_in` and `refresh_token_expires_in` are seconds from the reply. `refresh_token` is None where the
    provider gave no new one. `scopes` is None where the reply named none, which means "as requested".
    """

    access_token: Secret
    expires_in: int
    refresh_token: Secret | None = None
    refresh_token_expires_in: int | None = None
    scopes: tuple[str, ...] | None = None
    id_token: Secret | None = None

    def lasting(self, issued_at: datetime, expires_at: datetime, *, generation: int) -> AccessToken:
        """Return the access token with the lifetime, and the generation of its mailbox, that were saved for it."""
        return AccessToken(
            self.access_token.reveal(), issued_at=issued_at, expires_at=expires_at, generation=generation
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Whose mailbox a grant opens.

    `issuer` and `subject` never change for an account (`tid`+`oid` at Microsoft, else `iss`+`sub`);
    both are empty where a provider names nobody. `email` is the mailbox address (`address_typed` if it is the
    user's word), `sign_in_address` the name that the account signs in with, `tenant` the organisation at the
    provider.
    """

    issuer: str = ""
    subject: str = ""
    tenant: str = ""
    email: str = ""
    email_verified: bool = False
    address_typed: bool = False
    sign_in_address: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpReply:
    """An answer of a provider's endpoint, as raw as it came; `body` is capped by the transport."""

    status: int
    body: bytes = field(repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)

    def __reduce__(self) -> NoReturn:
        raise TypeError("HttpReply cannot be pickled: it would write a provider's words, and tokens, in clear.")

    def header(self, name: str) -> str:
        """Return a header's value, or an empty string."""
        return self.headers.get(name.lower(), "")


@dataclass(frozen=True, kw_only=True, slots=True)
class MailServer:
    """Where a provider's mail is reached. `security` is ``"tls"`` (from the first byte) or ``"starttls"``."""

    host: str
    port: int
    security: str = "tls"


@dataclass(frozen=True, kw_only=True, slots=True)
class MailEndpoint:
    """Where a provider takes messages over HTTP: MIME by POST, in base64 or as it is.

    In `url`, ``{mailbox}`` stands for ``me``, or for ``users/…`` and the address of another one than the grant's own.
    `resource` is the one whose tokens open it.
    """

    url: str
    resource: str
    content_type: str
    base64: bool = False


def scope_set(scopes: Any) -> tuple[str, ...]:
    """Return scopes, given as a string (spaces or commas) or a sequence, in order and without doubles."""
    words = scopes.replace(",", " ").split() if isinstance(scopes, str) else scopes
    return tuple(dict.fromkeys(words))
