"""The history of all mailboxes, to read."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import pgettext_lazy

from mail_oauth.admin.counting import EstimatingPaginator
from mail_oauth.admin.moments import stamp
from mail_oauth.admin.reading import ToRead
from mail_oauth.models import CredentialEvent


@admin.register(CredentialEvent)
class CredentialEventAdmin(ToRead):
    """A list without any way to change it: events go with their mailbox, or by `prune_events`."""

    list_display = ("when", "mailbox", "kind", "reason", "generation", "actor")
    list_display_links = None
    list_filter = ("kind", "created_at")
    list_select_related = ("credentials", "actor")
    list_per_page = 100
    search_fields = ("credentials__email",)
    sortable_by = ("when",)
    ordering = ("-created_at",)
    show_facets = admin.ShowFacets.NEVER
    paginator = EstimatingPaginator

    @admin.display(description=pgettext_lazy("column", "date"), ordering="created_at")
    def when(self, event: CredentialEvent) -> str:
        """When it happened, to the second."""
        return stamp(event.created_at)

    @admin.display(description=pgettext_lazy("column", "mailbox"))
    def mailbox(self, event: CredentialEvent) -> str:
        """Lead to the mailbox."""
        name = f"{self.admin_site.name}:mail_oauth_mailcredentials_change"
        return format_html(
            '<a href="{}">{}</a>', reverse(name, args=[event.credentials_id]), event.credentials.email
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[CredentialEvent]:
        """Leave the tokens of the mailboxes where they are."""
        return super().get_queryset(request).defer("credentials__access_token", "credentials__refresh_token")

    def has_delete_permission(self, request: HttpRequest, obj: CredentialEvent | None = None) -> bool:
        """Whoever may delete a mailbox (or its user) may delete its events with it, and only with it."""
        return request.user.has_perm("mail_oauth.delete_mailcredentials")

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Refuse: an event goes only with its mailbox."""
        raise PermissionDenied

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show an event without a button to delete it."""
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "show_delete": False})
