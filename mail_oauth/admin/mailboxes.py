"""The list of mailboxes, the inspection page of one, and what staff can have done to them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin import helpers
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.text import capfirst, format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mail_oauth.admin import operations
from mail_oauth.admin.adding import AddsMailboxes
from mail_oauth.admin.aliases import provider_name
from mail_oauth.admin.batches import perform_all
from mail_oauth.admin.filters import FailingFilter, PolicyFilter, ProviderFilter
from mail_oauth.admin.inspection import inspect_mailbox
from mail_oauth.admin.moments import DASH, distance
from mail_oauth.admin.notices import badge, is_idle
from mail_oauth.admin.operations import OPERATIONS, Operation, perform
from mail_oauth.admin.policies import POLICIES, choose_for_all
from mail_oauth.admin.reports import log_choice, report, report_choice, report_one
from mail_oauth.admin.sign_ins import TEST_SIGN_IN
from mail_oauth.models import MailCredentials

Rows = QuerySet[MailCredentials]
TEMPLATES = "admin/mail_oauth/mailcredentials"
BUTTONS = OPERATIONS | {TEST_SIGN_IN.name: TEST_SIGN_IN}


def _choosing(operation: Operation) -> Any:
    """Return the action that puts mailboxes under a policy."""

    def choose(model_admin: MailCredentialsAdmin, request: HttpRequest, queryset: Rows) -> None:
        choice = choose_for_all(operation, queryset, lambda rows: log_choice(request, operation, rows))
        report_choice(model_admin, request, operation, choice)

    choose.__name__ = operation.name
    words = format_lazy("{keep} {policy}", keep=gettext_lazy("Keep warm:"), policy=operation.label)
    return admin.action(choose, description=words, permissions=operation.permissions)


class MailboxList(ChangeList):
    """The list, which never fetches a token."""

    def get_queryset(self, request: HttpRequest, exclude_parameters: Any = None) -> Rows:
        """Leave the token columns in the database."""
        found: Rows = super().get_queryset(request, exclude_parameters)
        return found.defer("access_token", "refresh_token")


@admin.register(MailCredentials)
class MailCredentialsAdmin(AddsMailboxes):
    """Mailboxes to look at. Nothing is edited freely: `change` permission opens the operations."""

    list_display = ("email", "state", "expires", "refreshed", "failures", "provider_words", "user")
    list_filter = ("status", ProviderFilter, "use_oauth", FailingFilter, PolicyFilter)
    list_per_page = 50
    search_fields = ("email", "sign_in_address")
    search_help_text = gettext_lazy("Mailbox address, sign-in address, user name or UUID")
    sortable_by = ("email", "provider_words", "state")
    ordering = ("email",)
    show_full_result_count = False
    empty_value_display = DASH
    actions = (
        *("refresh_now", "test_sign_in", "rebuild_cache_entry", "pause", "resume"),
        *map(_choosing, POLICIES.values()),
        "disconnect",
    )

    class Media:
        css = {"all": ("mail_oauth/admin.css",)}

    # --- the list ---

    @admin.display(description=gettext_lazy("provider"), ordering="provider")
    def provider_words(self, row: MailCredentials) -> str:
        """What people call the provider."""
        return provider_name(row.provider)

    @admin.display(description=gettext_lazy("status"), ordering="status")
    def state(self, row: MailCredentials) -> str:
        """The state in words."""
        shown = badge(row)
        return format_html('<span class="mail-oauth-badge mail-oauth-{}">{}</span>', shown.level, shown.words)

    @admin.display(description=gettext_lazy("expires"))
    def expires(self, row: MailCredentials) -> str:
        """When the access token ends; one of an idle mailbox that has ended is replaced when it is asked for."""
        now = timezone.now()
        expired = row.token_expiry is not None and row.token_expiry <= now
        return str(_("when asked for")) if expired and is_idle(row, now) else distance(row.token_expiry, now)

    @admin.display(description=gettext_lazy("refreshed"))
    def refreshed(self, row: MailCredentials) -> str:
        """When it was last refreshed."""
        return distance(row.last_refreshed_at, timezone.now())

    @admin.display(description=gettext_lazy("failures"))
    def failures(self, row: MailCredentials) -> str:
        """How many refreshes have failed since the last good one, and the last error."""
        return f"{row.refresh_failures} ({row.last_refresh_error or DASH})" if row.refresh_failures else "0"

    def get_queryset(self, request: HttpRequest) -> Rows:
        """Fetch the users along."""
        return super().get_queryset(request).select_related("user")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Use the list that fetches no token."""
        return MailboxList

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Add what users are called on this site."""
        return (*self.search_fields, f"user__{get_user_model().USERNAME_FIELD}")

    def get_search_results(self, request: HttpRequest, queryset: Rows, search_term: str) -> tuple[Rows, bool]:
        """Find a UUID by its index; anything else by words."""
        try:
            return queryset.filter(pk=UUID(search_term.strip())), False
        except ValueError:
            return super().get_search_results(request, queryset, search_term)

    @transaction.non_atomic_requests
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list, or run an action; one that the user may not run is refused, not ignored."""
        if request.method == "POST":
            allowed = self.get_actions(request)
            if any(name and name not in allowed for name in request.POST.getlist("action")):
                raise PermissionDenied
        title = {"title": capfirst(self.opts.verbose_name_plural)}
        return super().changelist_view(request, title | (extra_context or {}))

    # --- permissions ---

    def allowed(self, request: HttpRequest, operation: Operation, row: MailCredentials | None = None) -> bool:
        """Whether the user may do this; any one of the operation's permissions suffices."""
        checks = {"change": self.has_change_permission, "delete": self.has_delete_permission}
        return any(checks[name](request, row) for name in operation.permissions)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, Any, Any]:
        """Name the mailboxes; their events, often thousands, are only counted."""
        nested: tuple[Any, ...] = super().get_deleted_objects(objs, request)
        return ([each for each in nested[0] if not isinstance(each, list)], *nested[1:4])

    # --- the inspection page ---

    def get_urls(self) -> list[URLPattern]:
        """Add the buttons of the inspection page."""
        operate = transaction.non_atomic_requests(self.admin_site.admin_view(self.operate_view))
        route = "<uuid:pk>/operation/<slug:name>/"
        return [path(route, operate, name="mail_oauth_mailcredentials_operation"), *super().get_urls()]

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
        context = self._context(request, row) | {
            "inspection": inspect_mailbox(row, user_url=self._user_url(request, row)),
            "operations": [
                each for each in BUTTONS.values() if each.offered(row) and self.allowed(request, each, row)
            ],
            "policies": [
                (each, each.offered(row)) for each in POLICIES.values() if self.allowed(request, each, row)
            ],
            "has_delete_permission": self.has_delete_permission(request, row),
            **(extra_context or {}),
        }
        return TemplateResponse(request, f"{TEMPLATES}/change_form.html", context)

    def operate_view(self, request: HttpRequest, pk: UUID, name: str) -> HttpResponse:
        """Do something to one mailbox, after a question where the operation wants one."""
        operation, row = (BUTTONS | POLICIES).get(name), self.get_object(request, str(pk))
        if operation is None or row is None:
            raise Http404
        if not self.allowed(request, operation, row):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if operation.confirmed and "confirmed" not in request.POST:
            return self._question(request, operation, [row], row)
        report_one(self, request, operation, row, perform(operation, row, request.user))
        return HttpResponseRedirect(
            reverse(f"{self.admin_site.name}:mail_oauth_mailcredentials_change", args=[pk])
        )

    def _user_url(self, request: HttpRequest, row: MailCredentials) -> str:
        """Return where the admin shows the user; nothing where it does not, or not to this person."""
        model = get_user_model()
        if row.user is None or not self.admin_site.is_registered(model):
            return ""
        if not self.admin_site.get_model_admin(model).has_view_or_change_permission(request, row.user):
            return ""
        name = f"{self.admin_site.name}:{model._meta.app_label}_{model._meta.model_name}_change"
        return reverse(name, args=[row.user_id])

    def _context(self, request: HttpRequest, row: MailCredentials | None) -> dict[str, Any]:
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

    # --- operations on many ---

    @admin.action(description=operations.REFRESH.label, permissions=operations.REFRESH.permissions)
    def refresh_now(self, request: HttpRequest, queryset: Rows) -> HttpResponse | None:
        """Refresh the first fifty; the sweep takes the rest."""
        return self._operate(request, queryset, operations.REFRESH)

    @admin.action(description=TEST_SIGN_IN.label, permissions=TEST_SIGN_IN.permissions)
    def test_sign_in(self, request: HttpRequest, queryset: Rows) -> HttpResponse | None:
        """Sign in to each, step by step."""
        return self._operate(request, queryset, TEST_SIGN_IN)

    @admin.action(description=operations.REBUILD.label, permissions=operations.REBUILD.permissions)
    def rebuild_cache_entry(self, request: HttpRequest, queryset: Rows) -> HttpResponse | None:
        """Write the cached copies anew."""
        return self._operate(request, queryset, operations.REBUILD)

    @admin.action(description=operations.PAUSE.label, permissions=operations.PAUSE.permissions)
    def pause(self, request: HttpRequest, queryset: Rows) -> HttpResponse | None:
        """Switch OAuth off."""
        return self._operate(request, queryset, operations.PAUSE)

    @admin.action(description=operations.RESUME.label, permissions=operations.RESUME.permissions)
    def resume(self, request: HttpRequest, queryset: Rows) -> HttpResponse | None:
        """Switch OAuth on."""
        return self._operate(request, queryset, operations.RESUME)

    @admin.action(description=operations.DISCONNECT.label, permissions=operations.DISCONNECT.permissions)
    def disconnect(self, request: HttpRequest, queryset: Rows) -> HttpResponse | None:
        """Disconnect, after a question."""
        return self._operate(request, queryset, operations.DISCONNECT)

    def _operate(self, request: HttpRequest, queryset: Rows, operation: Operation) -> HttpResponse | None:
        if operation.confirmed and "confirmed" not in request.POST:
            asked = queryset[: operation.at_once + 1]
            if len(asked) <= operation.at_once:
                return self._question(request, operation, list(asked))
        report(self, request, operation, perform_all(operation, queryset, request.user))
        return None

    def _question(
        self, request: HttpRequest, operation: Operation, rows: list[MailCredentials], row: Any = None
    ) -> HttpResponse:
        """Ask before doing what cannot be undone; the answer is posted to where the question came from."""
        context = self._context(request, row) | {
            "title": _("Are you sure?"),
            "operation": operation,
            "rows": rows,
            "action_checkbox_name": helpers.ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, f"{TEMPLATES}/{operation.name}_confirmation.html", context)
