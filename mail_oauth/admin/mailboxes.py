"""The list of mailboxes, the inspection page of one, and what staff can have done to them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.text import capfirst, format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from mail_oauth.admin.acting import TEMPLATES, Rows
from mail_oauth.admin.adding import AddsMailboxes
from mail_oauth.admin.aliases import provider_name
from mail_oauth.admin.counting import EstimatingPaginator
from mail_oauth.admin.dashboard.apps import of_apps
from mail_oauth.admin.filters import FailingFilter, PolicyFilter, ProviderFilter, TimeFilter
from mail_oauth.admin.inspection import inspect_mailbox
from mail_oauth.admin.listing import MailboxList
from mail_oauth.admin.moments import DASH, distance
from mail_oauth.admin.notices import badge, is_idle, remedy
from mail_oauth.admin.policies import POLICIES, choose_for_all
from mail_oauth.admin.reports import log_choice, report_choice
from mail_oauth.admin.revealing import RevealsTokens
from mail_oauth.admin.search import find
from mail_oauth.models import MailCredentials
from mail_oauth.moving.traces import forget_addresses
from mail_oauth.operations.catalogue import OPERATIONS
from mail_oauth.operations.contract import Operation
from mail_oauth.upkeep.app_troubles import app_troubles


def _doing(operation: Operation) -> Any:
    """Return the action that does this to many mailboxes."""

    def operate(model_admin: MailCredentialsAdmin, request: HttpRequest, queryset: Rows) -> HttpResponse | None:
        return model_admin.operate_on_all(request, queryset, operation)

    operate.__name__ = operation.name
    return admin.action(operate, description=operation.label)


def _choosing(operation: Operation) -> Any:
    """Return the action that puts mailboxes under a policy."""

    def choose(model_admin: MailCredentialsAdmin, request: HttpRequest, queryset: Rows) -> None:
        choice = choose_for_all(operation, queryset, lambda rows: log_choice(request, operation, rows))
        report_choice(model_admin, request, operation, choice)

    choose.__name__ = operation.name
    words = format_lazy(gettext_lazy("Keep warm: {policy}"), policy=operation.label)
    return admin.action(choose, description=words)


@admin.register(MailCredentials)
class MailCredentialsAdmin(AddsMailboxes, RevealsTokens):
    """Mailboxes to look at. Nothing is edited freely: each operation has a permission of its own."""

    list_display = ("email", "state", "expires", "refreshed", "failures", "provider_words", "user")
    list_filter = ("status", ProviderFilter, "use_oauth", FailingFilter, TimeFilter, PolicyFilter)
    list_per_page = 50
    search_fields = ("email", "sign_in_address")
    search_help_text = gettext_lazy("Mailbox address, sign-in address, user name or UUID")
    sortable_by = ("email", "provider_words", "state")
    ordering = ("email",)
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # each is a count of its own; the dashboard has them
    paginator = EstimatingPaginator
    empty_value_display = DASH
    actions = (*map(_doing, OPERATIONS.values()), *map(_choosing, POLICIES.values()))

    class Media:
        css = {"all": ("mail_oauth/admin.css",)}

    # --- the list ---

    @admin.display(description=pgettext_lazy("column", "provider"), ordering="provider")
    def provider_words(self, row: MailCredentials) -> str:
        """What people call the provider."""
        return provider_name(row.provider)

    @admin.display(description=pgettext_lazy("column", "status"), ordering="status")
    def state(self, row: MailCredentials) -> str:
        """The state in words."""
        shown = badge(row)
        return format_html('<span class="mail-oauth-badge mail-oauth-{}">{}</span>', shown.level, shown.words)

    @admin.display(description=pgettext_lazy("column", "expires"))
    def expires(self, row: MailCredentials) -> str:
        """When the access token ends; one of an idle mailbox that has ended is replaced when it is asked for."""
        now = timezone.now()
        expired = row.token_expiry is not None and row.token_expiry <= now
        return str(_("when asked for")) if expired and is_idle(row, now) else distance(row.token_expiry, now)

    @admin.display(description=pgettext_lazy("column", "refreshed"))
    def refreshed(self, row: MailCredentials) -> str:
        """When it was last refreshed."""
        return distance(row.last_refreshed_at, timezone.now())

    @admin.display(description=pgettext_lazy("column", "failures"))
    def failures(self, row: MailCredentials) -> str:
        """How many refreshes have failed since the last good one, and the last error."""
        words = {"number": row.refresh_failures, "error": row.last_refresh_error or DASH}
        return _("%(number)d (%(error)s)") % words if row.refresh_failures else "0"

    def get_queryset(self, request: HttpRequest) -> Rows:
        """Fetch the users along."""
        return super().get_queryset(request).select_related("user")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Use the list that fetches no token."""
        return MailboxList

    def get_search_results(self, request: HttpRequest, queryset: Rows, search_term: str) -> tuple[Rows, bool]:
        """Find by an index where that can be done."""
        return (find(queryset, search_term) if search_term.strip() else queryset), False

    @transaction.non_atomic_requests
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list, or run an action; one that the user may not run is refused, not ignored."""
        if request.method == "POST":
            allowed = self.get_actions(request)
            if any(name and name not in allowed for name in request.POST.getlist("action")):
                raise PermissionDenied
        title = {"title": capfirst(self.opts.verbose_name_plural)}
        amiss = {"apps": of_apps(app_troubles(), timezone.now()) if request.method == "GET" else ()}
        return super().changelist_view(request, title | amiss | (extra_context or {}))

    # --- permissions ---

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, Any, Any]:
        """Name the mailboxes; their events, often thousands, are only counted."""
        nested: tuple[Any, ...] = super().get_deleted_objects(objs, request)
        return ([each for each in nested[0] if not isinstance(each, list)], *nested[1:4])

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Log who deletes which mailboxes, by their random names: an address would stay for good."""
        rows, logged = list(queryset), super().log_deletions(request, queryset)
        forget_addresses(rows)
        return logged

    # --- the inspection page ---

    def get_urls(self) -> list[URLPattern]:
        """Add the buttons of the inspection page, and what may be revealed."""
        operate = transaction.non_atomic_requests(self.admin_site.admin_view(self.operate_view))
        reveal = transaction.non_atomic_requests(self.admin_site.admin_view(self.reveal_view))
        return [
            path("<uuid:pk>/operation/<slug:name>/", operate, name="mail_oauth_mailcredentials_operation"),
            path("<uuid:pk>/reveal/", reveal, name="mail_oauth_mailcredentials_reveal"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show everything about a mailbox but its secrets. There is no form, and a POST is refused."""
        if request.method == "POST":
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if not self.has_view_or_change_permission(request, row):
            raise PermissionDenied
        if row is None:
            raise Http404
        context = self.page_context(request, row) | {
            "inspection": inspect_mailbox(row, user_url=self._user_url(request, row)),
            "operations": [
                each for each in OPERATIONS.values() if each.offered(row) and self.allowed(request, each, row)
            ],
            "policies": [
                (each, each.offered(row)) for each in POLICIES.values() if self.allowed(request, each, row)
            ],
            "remedy": remedy(row),
            "may_reveal": self.may_reveal(request, row),
            "has_delete_permission": self.has_delete_permission(request, row),
            **(extra_context or {}),
        }
        return TemplateResponse(request, f"{TEMPLATES}/change_form.html", context)

    def _user_url(self, request: HttpRequest, row: MailCredentials) -> str:
        """Return where the admin shows the user; nothing where it does not, or not to this person."""
        model = get_user_model()
        if row.user is None or not self.admin_site.is_registered(model):
            return ""
        if not self.admin_site.get_model_admin(model).has_view_or_change_permission(request, row.user):
            return ""
        name = f"{self.admin_site.name}:{model._meta.app_label}_{model._meta.model_name}_change"
        return reverse(name, args=[row.user_id])

    def page_context(self, request: HttpRequest, row: MailCredentials | None) -> dict[str, Any]:
        """Return what every page of this admin's own needs."""
        return {
            **self.admin_site.each_context(request),
            "title": capfirst(self.opts.verbose_name),
            "subtitle": row and row.email,
            "original": row,
            "opts": self.opts,
            "media": self.media,
            "change": True,
            "is_popup": False,
            "has_view_permission": True,
        }
