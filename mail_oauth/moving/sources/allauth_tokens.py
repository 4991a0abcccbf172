"""`SocialToken` of django-allauth: it stores what its logins have brought, and refreshes nothing.

`token_secret` is the refresh token (allauth/socialaccount/models.py), which is there only where the provider was asked for
offline access. `SocialAccount.uid` is Google's `sub`; at Microsoft it is Graph's id without the tenant, which names no
account here. `openid_connect` keeps what it was told under `userinfo` and `id_token`, the latter as claims that it has
checked (allauth/socialaccount/providers/openid_connect/views.py); releases before 65.11 kept the members themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mail_oauth.frames import keeps_locals_in
from mail_oauth.moving.entries import Entry, Found, Unreadable
from mail_oauth.moving.sources.database import model_of, walk
from mail_oauth.moving.values import (
    BadValue,
    access_token_in,
    address_in,
    moment_in,
    refresh_token_in,
    scopes_in,
    text_in,
)

_GOOGLE = "google"


class AllauthTokens:
    """Every `SocialToken` there is; those of other services have no provider here, and are told so."""

    name = "allauth"
    names_users_by_key = True
    tokens_are_for_mail = False

    def __init__(self) -> None:
        """Find the tables. Raises `SourceError`."""
        model = model_of("socialaccount.SocialToken", "add allauth.socialaccount to INSTALLED_APPS for the import")
        self._rows = model._default_manager.select_related("account", "app")

    def about(self) -> int:
        """Count the tokens."""
        return int(self._rows.count())

    def pages(self) -> Iterator[list[Found]]:
        """Read them."""
        return walk(self._rows, lambda token: [_found(token)])


@keeps_locals_in
def _found(token: Any) -> Found:
    where = f"SocialToken {token.pk}"
    account = token.account
    extra = _object(account.extra_data)
    userinfo, claims = _object(extra.get("userinfo")), _object(extra.get("id_token"))
    fields = {"token": token.token, "token_secret": token.token_secret}
    try:
        return Entry(
            where=where,
            user=str(account.user_id),
            provider=text_in(account.provider, "provider"),
            email=address_in(userinfo) or address_in(claims) or address_in(extra),
            refresh_token=refresh_token_in(fields, "token_secret"),
            access_token=access_token_in(fields, "token"),
            expires_at=moment_in(token.expires_at),
            scopes=scopes_in(extra.get("scope")),
            client_id=token.app.client_id if token.app else "",
            subject=text_in(account.uid, "uid") if account.provider == _GOOGLE else "",
            claims=claims,
        )
    except BadValue as bad:
        return Unreadable(where=where, reason=bad.reason)


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
