"""`UserSocialAuth.extra_data` of social-auth-app-django (social_core/storage.py: `UserMixin`).

`expires_on` is absolute; `expires_in` and `expires` are seconds from `auth_time`, unless they are so many that they must be
absolute, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from mail_oauth.frames import keeps_locals_in
from mail_oauth.moving.entries import Entry, Found, Unreadable
from mail_oauth.moving.sources.database import model_of, walk
from mail_oauth.moving.values import (
    BadValue,
    access_token_in,
    address_in,
    claims_in,
    first_of,
    moment_in,
    number_in,
    refresh_token_in,
    scopes_in,
    text_in,
)

_ABSOLUTE_FROM = 63_072_000
"""More seconds than this are no lifetime (two years; `UserMixin._handle_expires_field`)."""

_GOOGLE = "google-oauth2"


class SocialAuth:
    """Every association there is; those of other services have no provider here, and are told so."""

    name = "social-auth"
    names_users_by_key = True
    tokens_are_for_mail = False

    def __init__(self) -> None:
        """Find the table. Raises `SourceError`."""
        model = model_of("social_django.UserSocialAuth", "add social_django to INSTALLED_APPS for the import")
        self._rows = model._default_manager.all()

    def about(self) -> int:
        """Count the associations."""
        return int(self._rows.count())

    def pages(self) -> Iterator[list[Found]]:
        """Read them."""
        return walk(self._rows, lambda association: [_found(association)])


@keeps_locals_in
def _found(association: Any) -> Found:
    where = f"UserSocialAuth {association.pk}"
    try:
        fields = _fields(association.extra_data)
        issued_at, expires_at = _times(fields)
        claims = claims_in(fields.get("id_token"))
        return Entry(
            where=where,
            user=str(association.user_id),
            provider=text_in(association.provider, "provider"),
            email=address_in(fields) or address_in(claims, association.uid),
            refresh_token=refresh_token_in(fields, "refresh_token"),
            access_token=access_token_in(fields, "access_token"),
            issued_at=issued_at,
            expires_at=expires_at,
            scopes=scopes_in(fields.get("scope")),
            subject=_subject(association, fields),
            claims=claims,
        )
    except BadValue as bad:
        return Unreadable(where=where, reason=bad.reason)


def _fields(extra_data: Any) -> Mapping[str, Any]:
    """Return the object; older releases kept it as text."""
    if isinstance(extra_data, str):
        try:
            extra_data = json.loads(extra_data)
        except (ValueError, RecursionError):
            raise BadValue("not_json") from None
    if not isinstance(extra_data, Mapping):
        raise BadValue("not_an_object")
    return extra_data


def _times(fields: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
    """Return when the token was issued and when it ends, each None where nobody can tell."""
    issued_at = moment_in(fields.get("auth_time"), "auth_time")
    absolute = moment_in(fields.get("expires_on"))
    seconds = number_in(first_of(fields, ("expires_in", "expires")), "expiry")
    if absolute is not None or seconds is None:
        return issued_at, absolute
    if seconds > _ABSOLUTE_FROM:
        return issued_at, moment_in(seconds)
    if issued_at is None or seconds < 0:
        return issued_at, None
    return issued_at, moment_in(issued_at + timedelta(seconds=seconds))


def _subject(association: Any, fields: Mapping[str, Any]) -> str:
    """Return Google's `sub`: by itself, or as the uid, which is an address where the site has chosen that."""
    if association.provider != _GOOGLE:
        return ""
    uid = str(association.uid)
    return text_in(fields.get("sub"), "sub") or (uid if uid.isdigit() else "")
