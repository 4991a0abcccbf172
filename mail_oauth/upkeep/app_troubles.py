"""What is amiss with the tokens that apps have for many mailboxes: each of these looks well by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.managers.app_tokens import app_key
from mail_oauth.managers.queryset import MailCredentialsQuerySet
from mail_oauth.managers.vocabulary import Access
from mail_oauth.models import MailCredentials
from mail_oauth.providers import provider_for

COUNTED = 10_000
"""Above so many mailboxes it is not told how many more hang on one token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AppTrouble:
    """The row of an app's token that is not in order, and how many mailboxes in use hang on it: at most `COUNTED` + 1."""

    app: MailCredentials
    mailboxes: int


def app_troubles() -> tuple[AppTrouble, ...]:
    """Look at the apps' tokens that the settings have a use for; one query, by the keys of their rows, and one for each trouble."""
    keys = list(_keys())
    if not keys:
        return ()
    rows: MailCredentialsQuerySet = MailCredentials.objects.using(MailCredentials.objects.write_alias())
    apps = rows.without_tokens().filter(app_key__in=keys).order_by("provider")
    amiss = [app for app in apps if not app.is_connected or app.refresh_failures]
    return tuple(AppTrouble(app=app, mailboxes=_hanging_on(rows, app)) for app in amiss)


def _keys() -> Iterator[str]:
    try:
        aliases = list(app_settings().providers)
    except ConfigurationError:  # which is told elsewhere
        return
    for alias in aliases:
        try:
            provider = provider_for(alias)
            if provider.is_app_only and provider.shares_app_token:
                yield app_key(provider)
        except ConfigurationError:
            continue


def _hanging_on(rows: MailCredentialsQuerySet, app: MailCredentials) -> int:
    mailboxes = rows.healthy().filter(provider=app.provider, access=Access.SHARED)
    return mailboxes.order_by()[: COUNTED + 1].count()
