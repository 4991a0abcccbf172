"""Reading a token endpoint's reply: strict in what is stored, calm about what is odd (RFC 6749 §5.1)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from mail_oauth.conf import app_settings
from mail_oauth.tokens import HttpReply, Secret, TokenSet, scope_set
from mail_oauth.transport.bodies import BadBody, Body, read_object

MAX_TOKEN = 128 * 1024
"""The longest token that is stored, in characters; a longer one is refused, never cut."""

LONGEST_LIFETIME = 24 * 3600
SHORTEST_LIFETIME = 10
_TOKEN = re.compile(r"[\x20-\x7e]+")
_SCOPE = re.compile(r"[\x21-\x7e]+")


class MalformedReply(Exception):
    """A reply that cannot be used; `reason` is its code."""

    def __init__(self, reason: str) -> None:
        """Name what is wrong."""
        super().__init__(reason)
        self.reason = reason


def parse_object(reply: HttpReply) -> Body:
    """Return the JSON object of a reply. Raises `MalformedReply` for anything else."""
    try:
        return read_object(reply.body)
    except BadBody as bad:
        raise MalformedReply(bad.reason) from None


def parse_tokens(fields: Mapping[str, Any]) -> TokenSet:
    """Return the tokens of a reply's object. Raises `MalformedReply`."""
    access_token = token_in(fields, "access_token")
    if access_token is None:
        raise MalformedReply("no_access_token")
    kind = fields.get("token_type", "bearer")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise MalformedReply("token_type")
    return TokenSet(
        access_token=access_token,
        expires_in=lifetime_in(fields.get("expires_in")),
        refresh_token=token_in(fields, "refresh_token"),
        refresh_token_expires_in=_grant_lifetime(fields.get("refresh_token_expires_in")),
        scopes=_scopes_in(fields.get("scope")),
        id_token=token_in(fields, "id_token"),
    )


def _scopes_in(value: Any) -> tuple[str, ...] | None:
    """Return granted scopes, or None where none are named; a word that is no scope (RFC 6749 §3.3) is left out.

    No database stores every character, and a rotated token must not be lost for that.
    """
    words = value if isinstance(value, list) else [value]
    if not all(isinstance(word, str) for word in words):
        return None
    return tuple(scope for scope in scope_set(" ".join(words)) if _SCOPE.fullmatch(scope))


def token_in(fields: Mapping[str, Any], name: str) -> Secret | None:
    """Return a token of printable ASCII, or None where it is absent, empty or unfit to be sent again."""
    value = fields.get(name)
    if not isinstance(value, str) or len(value) > MAX_TOKEN or not _TOKEN.fullmatch(value):
        return None
    return Secret(value)


def lifetime_in(value: Any) -> int:
    """Return a lifetime in seconds, from a number or a numeric string, within sane bounds.

    What is no number means `DEFAULT_EXPIRES_IN`; a number out of bounds is moved to the nearest bound, so
    that an odd reply neither makes a token eternal nor starts a storm of refreshes.
    """
    number = _number(value)
    if number is None:
        return app_settings().default_expires_in
    return int(min(max(number, SHORTEST_LIFETIME), LONGEST_LIFETIME))


def _grant_lifetime(value: Any) -> int | None:
    number = _number(value)
    return None if number is None or number <= 0 else int(min(number, 10 * 365 * 86400))


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return None if math.isnan(number) else number
