"""What the inspection page shows of tokens, scopes and the cache: pure functions that return frozen values."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from mail_oauth.admin.aliases import required_scopes
from mail_oauth.admin.claims import Claims, claims_of
from mail_oauth.admin.moments import Moment, moment
from mail_oauth.admin.notices import Level
from mail_oauth.encryption import fingerprint_of, keyring, unseal
from mail_oauth.exceptions import ConfigurationError, KeyMissing, SealError
from mail_oauth.keysource import source_name
from mail_oauth.models import MailCredentials
from mail_oauth.providers.scoping import NOT_MAIL_SCOPES
from mail_oauth.sealing import Sealed
from mail_oauth.tokens import Secret, scope_set

_TIMESTAMP_END = 9
"""A Fernet token begins with a version byte and eight bytes of seconds since 1970 (Fernet spec)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenPanel:
    """What may be known of a stored token without showing any part of it."""

    title: str
    present: bool = False
    problem: str = ""
    """Why it cannot be read; empty when it can."""
    length: int = 0
    fingerprint: str = ""
    key: str = ""
    key_words: str = ""
    issued: Moment
    stored: Moment
    expires: Moment
    claims: Claims | None = None
    """What the access token says of itself; of a refresh token, None."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScopeLine:
    """One scope: whether the settings want it now, whether it was asked for, whether granted, and what that means."""

    scope: str
    required: bool
    requested: bool
    granted: bool
    level: Level
    words: str


def access_token_panel(row: MailCredentials, now: datetime) -> TokenPanel:
    """Describe the stored access token, and what it says of itself."""
    lifetime = {"issued": row.token_issued_at, "expires": row.token_expiry}
    return _token_panel(row, "access_token", _("Access token"), now, **lifetime, speaks=True)


def refresh_token_panel(row: MailCredentials, now: datetime) -> TokenPanel:
    """Describe the stored refresh token. When it was issued is not known; when it was stored is."""
    return _token_panel(row, "refresh_token", _("Refresh token"), now, expires=row.refresh_token_expires_at)


def _token_panel(
    row: MailCredentials,
    column: str,
    title: str,
    now: datetime,
    *,
    issued: datetime | None = None,
    expires: datetime | None = None,
    speaks: bool = False,
) -> TokenPanel:
    sealed = getattr(row, column)
    secret, problem = _opened(sealed, row.place(column))
    key = _key_of(sealed)
    return TokenPanel(
        title=title,
        present=sealed is not None,
        problem=problem,
        length=len(secret or ""),
        fingerprint=fingerprint_of(secret) if secret else "",
        key=key,
        key_words=_key_words(key),
        issued=moment(issued, now),
        stored=moment(_sealed_at(sealed), now),
        expires=moment(expires, now),
        claims=claims_of(secret, now) if speaks and sealed is not None else None,
    )


def _opened(sealed: Sealed | None, place: str) -> tuple[Secret | None, str]:
    """Decrypt a token, or say in words why that cannot be done."""
    if sealed is None:
        return None, ""
    try:
        return unseal(sealed, place), ""
    except ConfigurationError as error:
        return None, _("The keys cannot be read: %(problem)s") % {"problem": error}
    except SealError as error:
        return None, _problem(sealed, error)


def _problem(sealed: Sealed, error: SealError) -> str:
    if isinstance(error, KeyMissing):
        return _("Its key is not in %(source)s: put it back; nothing is lost.") % {"source": source_name()}
    if sealed.looks_plain:
        return _("It is bound to no place, as django-fernet-fields writes it: run “mail_oauth bind_values”.")
    if not sealed.fingerprint:
        return _("What stands in the column is not a sealed token: something else wrote it there.")
    return _("It was altered, or sealed for another row or column.")


def _key_of(sealed: Sealed | None) -> str:
    return sealed.fingerprint if sealed is not None else ""


def _ring() -> tuple[str, ...]:
    try:
        return tuple(key.fingerprint for key in keyring().keys)
    except ConfigurationError:
        return ()


def _key_words(fingerprint: str) -> str:
    """Say which of the settings' keys this is."""
    ring = _ring()
    if not fingerprint:
        return pgettext("key", "unknown")
    if fingerprint not in ring:
        return _("not in %(source)s") % {"source": source_name()}
    position = ring.index(fingerprint)
    if position == 0:
        return _("the key that seals now")
    return _("an older key, number %(number)d in %(source)s") % {"number": position + 1, "source": source_name()}


def _sealed_at(sealed: Sealed | None) -> datetime | None:
    """Read in clear when a token was sealed; None for what is no Fernet token."""
    if not _key_of(sealed):
        return None
    token = str(sealed and sealed.text).rpartition(":")[2]
    try:
        seconds = int.from_bytes(base64.urlsafe_b64decode(token[:12])[1:_TIMESTAMP_END])
        return datetime.fromtimestamp(seconds, UTC)
    except (binascii.Error, ValueError, OverflowError, OSError):
        return None


def scope_lines(row: MailCredentials) -> list[ScopeLine]:
    """Compare what the settings want now, what was asked for, and what was granted, scope by scope."""
    required, requested = required_scopes(row.provider), scope_set(row.requested_scopes)
    granted = scope_set(row.granted_scopes)
    every = scope_set((*required, *requested, *granted))
    return [_scope_line(scope, scope in required, scope in requested, scope in granted) for scope in every]


def _scope_line(scope: str, required: bool, requested: bool, granted: bool) -> ScopeLine:
    level, words = Level.GOOD, pgettext("scope", "granted")
    if granted and not (requested or required):
        level, words = Level.OFF, pgettext("scope", "granted unasked")
    elif not granted and scope in NOT_MAIL_SCOPES:
        level, words = Level.OFF, pgettext("scope", "not named")
    elif not granted:
        level, words = (
            Level.BAD,
            pgettext("scope", "not granted") if requested else pgettext("scope", "not asked for yet"),
        )
    return ScopeLine(
        scope=scope, required=required, requested=requested, granted=granted, level=level, words=words
    )
