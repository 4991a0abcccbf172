"""What an export says of a mailbox beside whose it is and its tokens, so that it comes back as it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.utils.dateparse import parse_datetime

from mail_oauth.managers.vocabulary import RefreshPolicy, Status
from mail_oauth.models import MailCredentials
from mail_oauth.moving.values import EARLIEST, BadValue, flag_in, scopes_in, text_in
from mail_oauth.tokens import scope_set

Standing = Mapping[str, Any]
"""Columns of `MailCredentials`, by their names."""

_LATEST = datetime(9000, 1, 1, tzinfo=UTC)
"""No moment lies behind it: what is near to the last that Python can name has no such moment in every zone."""


def standing_of(row: MailCredentials) -> dict[str, Any]:
    """Return it as members of a line."""
    found = {name: getattr(row, name) for name in (*_OF_GRANT, *_OF_MAILBOX)}
    spelt = {name: value.isoformat() for name, value in found.items() if isinstance(value, datetime)}
    return found | spelt | {"requested_scopes": list(scope_set(row.requested_scopes))}


def standing_in(fields: Mapping[str, Any]) -> Standing:
    """Read it from a line; what that does not say is left to a new mailbox. Raises `BadValue`."""
    found = {name: read(fields.get(name), name) for name, read in {**_OF_GRANT, **_OF_MAILBOX}.items()}
    if found["status"] == Status.UNREADABLE:  # its tokens have opened, or there would be no line
        found |= {"status": Status.CONNECTED, "status_reason": "", "status_changed_at": None}
    if found["refresh_token_expires_at"] is None:  # this site makes an estimate of its own
        found["grant_end_estimated"] = None
    return {name: value for name, value in found.items() if value is not None}


def of_grant(standing: Standing) -> dict[str, Any]:
    """Return what belongs to the grant, and comes with it also where the mailbox is there."""
    return {name: value for name, value in standing.items() if name in _OF_GRANT}


def of_mailbox(standing: Standing) -> dict[str, Any]:
    """Return what belongs to the mailbox, and is its own where that is there."""
    return {name: value for name, value in standing.items() if name in _OF_MAILBOX}


def works(standing: Standing | None) -> bool:
    """Tell whether a mailbox was usable where its line was written, as far as that says."""
    return standing is None or standing["status"] == Status.CONNECTED


def _status_in(value: Any, name: str) -> Status:
    status = text_in(value, name) or Status.CONNECTED
    if status not in Status or status == Status.DISCONNECTED:
        raise BadValue(name)
    return Status(status)


def _policy_in(value: Any, name: str) -> str:
    policy = text_in(value, name)
    if policy and policy not in RefreshPolicy:
        raise BadValue(name)
    return policy


def _moment_in(value: Any, name: str) -> datetime | None:
    """Return a moment that may lie years ahead, as ISO 8601 with its offset from UTC."""
    if value is None:
        return None
    try:
        moment = parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or not EARLIEST <= moment <= _LATEST:
        raise BadValue(name)
    return moment.astimezone(UTC)


def _scopes_in(value: Any, name: str) -> str:
    del name  # as for the scopes that were granted
    return " ".join(scopes_in(value) or ())


_Readers = Mapping[str, Callable[[Any, str], Any]]

_OF_GRANT: _Readers = {
    "status": _status_in,
    "status_reason": partial(text_in, longest=64),
    "status_changed_at": _moment_in,
    "connected_at": _moment_in,
    "requested_scopes": _scopes_in,
    "refresh_token_expires_at": _moment_in,
    "grant_end_estimated": flag_in,
    "grant_warned_at": _moment_in,
    "outcome_unknown": flag_in,
}
_OF_MAILBOX: _Readers = {
    "sign_in_address": partial(text_in, longest=254),
    "email_verified": flag_in,
    "refresh_policy": _policy_in,
    "last_used_at": _moment_in,
}
