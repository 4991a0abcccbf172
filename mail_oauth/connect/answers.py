"""What a provider sends to the callback (RFC 6749 §4.1.2), parsed strictly."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.http import QueryDict

from mail_oauth.exceptions import ConnectRefused
from mail_oauth.frames import keeps_locals_in
from mail_oauth.tokens import Secret

LONGEST_QUERY = 16 * 1024
"""How long the query of a callback may be, in characters."""

MOST_PARAMETERS = 50

_CODE = re.compile(r"[\x20-\x7e]{1,4096}")
_ERROR = re.compile(r"[a-z_]{1,40}")
_STATE = re.compile(r"[A-Za-z0-9_-]{16,256}")
_ONCE = ("state", "code", "error", "iss")

REFUSALS_BY_ERROR = {
    "access_denied": "declined",
    "consent_required": "declined",
    "interaction_required": "declined",
    "login_required": "declined",
    "temporarily_unavailable": "provider_unavailable",
    "server_error": "provider_unavailable",
    "invalid_scope": "misconfigured",
    "unauthorized_client": "misconfigured",
    "invalid_client": "misconfigured",
}
"""From an `error` in the callback to the refusal that the user is shown; others are `provider_error`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Either a `code`, or an `error`; never both."""

    state: Secret
    code: Secret | None
    error: str
    iss: str | None

    @property
    def error_code(self) -> str:
        """The `error` where it is a code, as RFC 6749 §4.1.2.1 and its extensions have them; else it is anybody's text."""
        return self.error if _ERROR.fullmatch(self.error) else ""


def _query_of(raw: str) -> QueryDict:
    """Read a raw query, always as UTF-8: `request.GET` would read it in whatever encoding a request header names."""
    if len(raw) > LONGEST_QUERY or raw.count("&") >= MOST_PARAMETERS:
        raise ConnectRefused("bad_request", "The query is too long.")
    return QueryDict(raw, encoding="utf-8")


@keeps_locals_in
def parse_answer(raw: Secret) -> Answer:
    """Read the callback's raw query. Raises `ConnectRefused("bad_request")` for what no provider sends.

    `error_description` and `error_uri` are never read: they are anybody's text.
    """
    query = _query_of(raw.reveal())
    if any(len(query.getlist(name)) > 1 for name in _ONCE):
        raise ConnectRefused("bad_request", "A parameter stands twice.")
    state, code, error = (query.get(name, "") for name in ("state", "code", "error"))
    if not _STATE.fullmatch(state):
        raise ConnectRefused("bad_state")
    if bool(code) == bool(error):
        raise ConnectRefused("bad_request", "Either code or error must stand there.")
    if code and not _CODE.fullmatch(code):
        raise ConnectRefused("bad_request", "The code is malformed.")
    return Answer(state=Secret(state), code=Secret(code) if code else None, error=error, iss=query.get("iss"))
