"""Reading values that others have stored: calm about how they are spelt, strict about what they hold."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from mail_oauth.providers.claims import is_address
from mail_oauth.refresh.replies import LONGEST_LIFETIME, token_in
from mail_oauth.tokens import Secret, scope_set
from mail_oauth.transport.bodies import read_object

MILLISECONDS_FROM = 1e11
"""Numbers above this count milliseconds: as seconds they would be in the year 5138, as milliseconds this is 1973."""

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = timedelta(seconds=LONGEST_LIFETIME, hours=1)
"""No access token ends later than so far from now: what says so is no moment, or one of another unit."""

_NUMBER = re.compile(r"\d{1,20}(\.\d{1,9})?")
_ZERO = re.compile(r"0+(\.0+)?")
_SCOPE = re.compile(r"[\x21-\x7e]{1,500}")
_NOTHING = {"", "null", "undefined", "None"}
"""What languages write where there is nothing."""

ADDRESS_NAMES = (
    "email",
    "emailAddress",
    "email_address",
    "mail",
    "address",
    "mailbox",
    "preferred_username",
    "userPrincipalName",
    "upn",
    "username",
    "user",
)


class BadValue(ValueError):
    """A value that is not what it should be; `reason` is a code."""

    def __init__(self, reason: str) -> None:
        """Name what is wrong."""
        super().__init__(reason)
        self.reason = reason


def object_in(raw: bytes) -> dict[str, Any]:
    """Return the members of an object that stands there as JSON. Raises `BadBody`, and `BadValue` for an unknown encoding.

    Where a character cannot be read, the address that it may be of is another one.
    """
    body = read_object(raw)
    if body.flaw == "encoding":
        try:
            raw.decode(json.detect_encoding(raw))
        except UnicodeDecodeError:
            raise BadValue("encoding") from None
    return body.fields


def _is_none(value: Any) -> bool:
    """Tell whether a value stands where there is no number."""
    if isinstance(value, str):
        return value.strip() in _NOTHING or _ZERO.fullmatch(value.strip()) is not None
    return value is None or value is False or bool(value == 0)


def number_in(value: Any, reason: str) -> float | None:
    """Return a number, from JSON or from its text; None for nothing, and for zero. Raises `BadValue` for what is none."""
    if _is_none(value):
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        raise BadValue(reason) from None
    if not math.isfinite(number):
        raise BadValue(reason)
    return number


def moment_in(value: Any, reason: str = "expiry") -> datetime | None:
    """Return a moment, from ISO 8601 with its zone, or seconds or milliseconds since 1970; None for nothing.

    And None for text without a zone: nobody can tell which one is meant, and hours lie between. A `datetime` without one, as
    databases give them under ``USE_TZ = False``, is of the site's own.
    Raises `BadValue` for anything else, and for what is before 2000 or further ahead than a token lives.
    """
    if _is_none(value):
        return None
    try:
        moment = _moment(value)
    except (ValueError, OverflowError, OSError, TypeError):
        raise BadValue(reason) from None
    if moment is None:
        return None
    if not EARLIEST <= moment <= timezone.now() + LATEST:
        raise BadValue(reason)
    return moment


def end_in(value: Any, reason: str, access_token: Secret | None) -> datetime | None:
    """Return when an access token ends; None where nothing says, and for what cannot be its end where there is no token.

    Raises `BadValue`. A token without an end could not be used; an end without a token is perhaps the refresh token's.
    """
    try:
        return moment_in(value, reason)
    except BadValue:
        if access_token is not None:
            raise
        return None


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value.strip()):
            parsed = parse_datetime(value.strip())
            if parsed is None:
                raise ValueError("no moment")
            if parsed.tzinfo is None:
                return None
            value = parsed
        else:
            value = float(value)
    if isinstance(value, datetime):
        known = value if value.tzinfo else timezone.make_aware(value, timezone.get_default_timezone())
        return known.astimezone(UTC)
    number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    return datetime.fromtimestamp(number / 1000 if number > MILLISECONDS_FROM else number, UTC)


def first_of(fields: Mapping[str, Any], names: Iterable[str]) -> Any:
    """Return the first of several members that there is; None where there is none."""
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def refresh_token_in(fields: Mapping[str, Any], *names: str) -> Secret | None:
    """Return the refresh token; None where there is none. Raises `BadValue` for what is none."""
    value = first_of(fields, names)
    if value is None or (isinstance(value, str) and value.strip() in _NOTHING):
        return None
    token = token_in({"token": value}, "token")
    if token is None:
        raise BadValue("refresh_token")
    return token


def access_token_in(fields: Mapping[str, Any], *names: str) -> Secret | None:
    """Return the access token; None where there is none that could be used: a refresh brings another."""
    value = first_of(fields, names)
    if isinstance(value, str) and value.strip() in _NOTHING:
        return None
    return token_in({"token": value}, "token")


def scopes_in(value: Any) -> tuple[str, ...] | None:
    """Return scopes, from a string or a list; None where nobody says. Raises `BadValue`."""
    if value is None or value == [] or (isinstance(value, str) and value.strip() in _NOTHING):
        return None
    words = value if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(word, str) for word in words):
        raise BadValue("scopes")
    return tuple(scope for scope in scope_set(" ".join(words)) if _SCOPE.fullmatch(scope))


def flag_in(value: Any, reason: str) -> bool | None:
    """Return a truth value, as JSON or as its text; None where nobody says. Raises `BadValue`."""
    known = {True: True, False: False, "true": True, "false": False, "1": True, "0": False}
    if value is None or (isinstance(value, str) and value.strip() in _NOTHING):
        return None
    if not isinstance(value, (bool, int, str)) or value not in known:
        raise BadValue(reason)
    return known[value]


def text_in(value: Any, reason: str, *, longest: int = 255) -> str:
    """Return text or a number as text; empty for nothing. Raises `BadValue` for what no column or log would take."""
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise BadValue(reason)
    text = str(value)
    if len(text) > longest or not text.isprintable():
        raise BadValue(reason)
    return text


def address_in(fields: Mapping[str, Any], *others: Any) -> str:
    """Return the first mail address among the members that usually have one, and then `others`; empty for none."""
    candidates = [*(fields.get(name) for name in ADDRESS_NAMES), *others]
    return next((value for each in candidates if (value := mailable(each))), "")


def mailable(value: Any) -> str:
    """Return a mail address without the white space around it; empty for what is none.

    One with U+FFFD in it is none: another program has put that where it could not read a character.
    """
    text = value.strip() if isinstance(value, str) else ""
    return text if is_address(text) and "\ufffd" not in text else ""


def claims_in(id_token: Any) -> dict[str, Any]:
    """Return the claims of a stored id_token, unverified; none for what is no token."""
    if not isinstance(id_token, str) or len(id_token) > 64 * 1024:
        return {}
    try:
        claims: dict[str, Any] = jwt.decode(id_token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, RecursionError):
        return {}
    return claims
