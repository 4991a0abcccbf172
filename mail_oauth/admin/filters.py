"""Filters of the admin's lists; none costs a query."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from mail_oauth.admin.aliases import configured_aliases, provider_name
from mail_oauth.choices import Policy
from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.managers.keeping import under
from mail_oauth.managers.vocabulary import EventKind, RefreshPolicy
from mail_oauth.models import MailCredentials
from mail_oauth.upkeep.status import LATE, ends_within

NOT_CONFIGURED = "-"


class ProviderFilter(admin.SimpleListFilter):
    """By alias, and mailboxes whose alias is no longer in the settings."""

    title = pgettext_lazy("filter", "provider")
    parameter_name = "provider"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Offer what the settings hold."""
        named = [(alias, provider_name(alias)) for alias in configured_aliases()]
        return [*named, (NOT_CONFIGURED, _("not in the settings"))]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[MailCredentials]
    ) -> QuerySet[MailCredentials] | None:
        """Keep the chosen alias."""
        chosen = self.value()
        if chosen == NOT_CONFIGURED:
            return queryset.exclude(provider__in=configured_aliases())
        return queryset.filter(provider=chosen) if chosen else None


class KindFilter(admin.SimpleListFilter):
    """By the kind of an event, where the column has no choices of its own."""

    title = pgettext_lazy("filter", "event")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Offer what can happen to a mailbox."""
        return EventKind.choices

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        """Keep the chosen kind."""
        return queryset.filter(kind=self.value()) if self.value() else None


class FailingFilter(admin.SimpleListFilter):
    """By whether the last refresh failed."""

    title = pgettext_lazy("filter", "last refresh")
    parameter_name = "failing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Failing or not."""
        return [
            ("yes", pgettext_lazy("last refresh", "failed")),
            ("no", pgettext_lazy("last refresh", "did not fail")),
        ]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[MailCredentials]
    ) -> QuerySet[MailCredentials] | None:
        """Keep those with failures in a row, or those without."""
        if self.value() == "yes":
            return queryset.filter(refresh_failures__gt=0)
        return queryset.filter(refresh_failures=0) if self.value() == "no" else None


class TimeFilter(admin.SimpleListFilter):
    """By what is late, or over soon."""

    title = pgettext_lazy("filter", "time")
    parameter_name = "time"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Refreshes that should have been, and grants that end."""
        return [("late", _("refresh overdue")), ("ending", _("grant ends soon"))]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[MailCredentials]
    ) -> QuerySet[MailCredentials] | None:
        """Keep what the dashboard counts under these words."""
        now = timezone.now()
        if self.value() == "late":
            return queryset.filter(refresh_at__lt=now - LATE)
        if self.value() != "ending":
            return None
        try:
            return queryset.filter(ends_within(now, app_settings().grant_warning_days))
        except ConfigurationError:
            return queryset.none()


class PolicyFilter(admin.SimpleListFilter):
    """By the policy that a mailbox is under, its own or another's, and those that have none of their own."""

    title = pgettext_lazy("filter", "refresh policy")
    parameter_name = "policy"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        """Offer what can be chosen."""
        return [*RefreshPolicy.choices, (NOT_CONFIGURED, _("as the settings say"))]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[MailCredentials]
    ) -> QuerySet[MailCredentials] | None:
        """Keep those under the chosen policy; where the settings cannot be read, those that have it of their own."""
        chosen = self.value()
        if chosen == NOT_CONFIGURED:
            return queryset.filter(refresh_policy="")
        if chosen not in RefreshPolicy.values:
            return None
        try:
            return queryset.filter(under(Policy(chosen)))
        except ConfigurationError:
            return queryset.filter(refresh_policy=chosen)
