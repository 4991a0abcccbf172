"""Refreshing a mailbox's token, and writing its cached copy anew."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from mail_oauth.cache import token_cache
from mail_oauth.conf import app_settings
from mail_oauth.managers.app_tokens import app_row
from mail_oauth.managers.errors import failed, unusable
from mail_oauth.managers.queryset import REFRESHABLE
from mail_oauth.managers.vocabulary import Access, EventKind
from mail_oauth.models import MailCredentials
from mail_oauth.operations.contract import Operation, Order, Result

FAILURES = (EventKind.REFRESH_FAILED, EventKind.NEEDS_REAUTH, EventKind.NEEDS_ADMIN, EventKind.NEEDS_ATTENTION)
"""The events of a refresh that brought no token."""


def _refresh_now(row: MailCredentials, _order: Order) -> Result:
    if row.access == Access.SHARED:
        return _renew_apps(row)
    minutes = row.refresh_now().minutes_left()
    text = ngettext_lazy(
        "refreshed; the new token is valid for {number} minute",
        "refreshed; the new token is valid for {number} minutes",
        minutes,
    )
    return Result(True, format_lazy(text, number=minutes))


def _renew_apps(row: MailCredentials) -> Result:
    """Renew the token that the app has for all its mailboxes, once, however many of them are refreshed.

    Also where it is refused: what came of it a moment ago is the answer for each of them.
    """
    app = app_row(row)
    lately = timezone.now() - timedelta(seconds=app_settings().rejection_interval)
    if app is not None and app.refresh_failures and _has_failed(app, lately):
        raise unusable(app) or failed(app, app.last_refresh_error, None)
    renewed = app is not None and app.last_refreshed_at is not None and app.last_refreshed_at > lately
    token = row.get_access_token() if renewed else row.refresh_now()
    minutes = token.minutes_left()
    text = ngettext_lazy(
        "the app's token, which opens it, was renewed; it is valid for {number} minute",
        "the app's token, which opens it, was renewed; it is valid for {number} minutes",
        minutes,
    )
    return Result(True, format_lazy(text, number=minutes))


def _has_failed(app: MailCredentials, since: datetime) -> bool:
    return app.events.filter(created_at__gt=since, kind__in=FAILURES).exists()


def _rebuild(row: MailCredentials, _order: Order) -> Result:
    """Replace what the cache holds by what the row says now.

    Forgetting also removes a tombstone. Should the mailbox change between reading the row and writing the
    copy, the copy goes again: nothing may outlive a disconnect.
    """
    rows = MailCredentials.objects.using(MailCredentials.objects.write_alias())
    current = rows.get(pk=row.pk)
    token_cache.forget(current.pk)
    if not current.is_connected:
        buried = token_cache.bury(current.pk, current.generation)
        return Result(True, _("a tombstone stands in the cache")) if buried else _unwritten()
    token = current.open_access_token()
    if token is None or token.seconds_left(timezone.now()) < 1:
        return Result(True, _("the cache entry was removed; the next refresh fills it"))
    stored = token_cache.put(current.pk, token)
    latest = rows.filter(pk=row.pk).values_list("generation", flat=True).first()
    if latest != current.generation:
        token_cache.bury(row.pk, current.generation)
        return Result(False, _("it changed meanwhile: the next use fills the cache"), reason="changed")
    return Result(True, _("the cache entry was rebuilt")) if stored else _unwritten()


def _unwritten() -> Result:
    return Result(False, _("the cache could not be written"), reason="cache_unavailable")


REFRESH = Operation(
    name="refresh_now",
    label=_("Refresh now"),
    run=_refresh_now,
    offered=lambda row: row.use_oauth and row.status in REFRESHABLE,
    permissions=("refresh",),
    kind=EventKind.REFRESH_ORDERED,
    warning=_("Each is refreshed at its provider, however long its token is still valid."),
    leave=lambda rows: int(rows.make_due()),
)
REBUILD = Operation(
    name="rebuild_cache_entry",
    label=_("Rebuild cache entry"),
    run=_rebuild,
    offered=lambda _row: True,
    permissions=("rebuild",),
    kind=EventKind.CACHE_REBUILT,
    warning=_("What the cache holds of them is replaced by what the database says."),
)
