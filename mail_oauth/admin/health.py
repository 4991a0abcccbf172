"""How the providers are: the lanes that are or were held, what to do about it, and trying, releasing or holding them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.functional import lazy
from django.utils.html import format_html
from django.utils.text import capfirst, format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, override, pgettext, pgettext_lazy

from mail_oauth.admin.aliases import provider_name
from mail_oauth.admin.filters import ProviderFilter
from mail_oauth.admin.lanes import (
    LANE_OPERATIONS,
    RELEASE,
    TRY_NOW,
    HoldForm,
    LaneOperation,
    lane_badge,
    what_to_do,
)
from mail_oauth.admin.moments import DASH, distance, span
from mail_oauth.admin.reports import log_result, tell
from mail_oauth.managers.lanes import Lanes
from mail_oauth.models import MailCredentials, ProviderHealth
from mail_oauth.operations.contract import Result

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

    _HealthAdmin = admin.ModelAdmin[ProviderHealth]
else:
    _HealthAdmin = admin.ModelAdmin

logger = logging.getLogger(__name__)

TEMPLATES = "admin/mail_oauth/providerhealth"

AT_ONCE = 100
"""How many lanes one action takes."""


@admin.register(ProviderHealth)
class ProviderHealthAdmin(_HealthAdmin):
    """Lanes to look at. Nothing is edited: holding has a permission of its own, and so have trying and releasing."""

    list_display = (
        "provider_words",
        "organisation",
        "trouble",
        "state",
        "reason_code",
        "since",
        "next_trial",
        "trials",
        "released",
    )
    list_display_links = ("trouble",)
    list_filter = ("held", "trouble", ProviderFilter)
    list_per_page = AT_ONCE
    sortable_by = ("provider_words", "organisation", "trouble")
    ordering = ("-held", "-held_since", "-pk")
    show_full_result_count = False
    empty_value_display = DASH
    actions = ("try_now", "release")
    fields = readonly_fields = (
        "state",
        "next_step",
        "provider_words",
        "organisation",
        "trouble",
        "reason_code",
        "held_since",
        "held_until",
        "trials",
        "released_at",
    )

    class Media:
        css = {"all": ("mail_oauth/admin.css",)}

    # --- what is shown ---

    @admin.display(description=pgettext_lazy("column", "provider"), ordering="provider")
    def provider_words(self, row: ProviderHealth) -> str:
        """What people call the provider."""
        return provider_name(row.provider)

    @admin.display(description=gettext_lazy("organisation"), ordering="tenant")
    def organisation(self, row: ProviderHealth) -> str:
        """Whose calls they are; a dash for all of the app."""
        return row.tenant or DASH

    @admin.display(description=pgettext_lazy("column", "state"))
    def state(self, row: ProviderHealth) -> str:
        """The state in words."""
        shown = lane_badge(row, timezone.now())
        return format_html('<span class="mail-oauth-badge mail-oauth-{}">{}</span>', shown.level, shown.words)

    @admin.display(description=pgettext_lazy("column", "reason"))
    def reason_code(self, row: ProviderHealth) -> str:
        """The code that began it."""
        return row.reason or DASH

    @admin.display(description=gettext_lazy("held since"))
    def since(self, row: ProviderHealth) -> str:
        """When it was held last."""
        return distance(row.held_since, timezone.now())

    @admin.display(description=gettext_lazy("next trial"))
    def next_trial(self, row: ProviderHealth) -> str:
        """When a call tries, or the brake ends."""
        now = timezone.now()
        is_due = row.held_until is not None and row.held_until <= now
        return pgettext("calls of a provider", "due") if is_due else distance(row.held_until, now)

    @admin.display(description=pgettext_lazy("calls of a provider", "released"))
    def released(self, row: ProviderHealth) -> str:
        """When it ended."""
        return distance(row.released_at, timezone.now())

    @admin.display(description=gettext_lazy("what to do"))
    def next_step(self, row: ProviderHealth) -> str:
        """Who must act, and how."""
        return what_to_do(row)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list, or run an action; one that the user may not run is refused, not ignored."""
        if request.method == "POST":
            allowed = self.get_actions(request)
            if any(name and name not in allowed for name in request.POST.getlist("action")):
                raise PermissionDenied
        shown = {"title": capfirst(self.opts.verbose_name_plural), "may_hold": self.has_hold_permission(request)}
        return super().changelist_view(request, shown | (extra_context or {}))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show a lane and what to do about it. There is nothing to save, and a POST is refused."""
        if request.method == "POST":
            raise PermissionDenied
        shown: dict[str, Any] = {"title": capfirst(self.opts.verbose_name)}
        shown |= {"show_save": False, "show_save_and_continue": False}
        row = self.get_object(request, object_id)
        if row is not None and self.has_release_permission(request):
            shown["operations"] = [each for each in LANE_OPERATIONS.values() if each.offered(row)]
        return super().change_view(request, object_id, form_url, shown | (extra_context or {}))

    # --- permissions ---

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Lanes are held by what happens."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ProviderHealth | None = None) -> bool:
        """A hold is released, not deleted: its row remembers since when failures count."""
        return False

    def has_hold_permission(self, request: HttpRequest) -> bool:
        """Whether the user may hold calls."""
        return request.user.has_perm("mail_oauth.hold_providerhealth")

    def has_release_permission(self, request: HttpRequest) -> bool:
        """Whether the user may have calls tried, and release them."""
        return request.user.has_perm("mail_oauth.release_providerhealth")

    # --- operations ---

    def get_urls(self) -> list[URLPattern]:
        """Add the buttons of a lane, and the page on which calls are held."""
        operate = transaction.non_atomic_requests(self.admin_site.admin_view(self.operate_view))
        hold = transaction.non_atomic_requests(self.admin_site.admin_view(self.hold_view))
        return [
            path("hold/", hold, name="mail_oauth_providerhealth_hold"),
            path("<int:pk>/operation/<slug:name>/", operate, name="mail_oauth_providerhealth_operation"),
            *super().get_urls(),
        ]

    def operate_view(self, request: HttpRequest, pk: int, name: str) -> HttpResponse:
        """Try or release one lane, after a question where there is one."""
        operation, row = LANE_OPERATIONS.get(name), self.get_object(request, str(pk))
        if operation is None or row is None:
            raise Http404
        if not self.has_release_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if operation.warning and "confirmed" not in request.POST:
            return self._question(request, operation, [row])
        self._perform(request, operation, [row])
        return HttpResponseRedirect(reverse(f"{self.admin_site.name}:mail_oauth_providerhealth_change", args=[pk]))

    def hold_view(self, request: HttpRequest) -> HttpResponse:
        """Ask whose calls to hold and for how long, and hold them."""
        if not self.has_hold_permission(request):
            raise PermissionDenied
        form = HoldForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            row = Lanes(MailCredentials.objects).hold_by_hand(**form.cleaned_data)
            lasting = lazy(span, str)(form.cleaned_data["seconds"])
            result = Result(True, format_lazy(gettext_lazy("held for {span}"), span=lasting))
            self._tell(request, row, "hold", gettext_lazy("Hold calls"), result)
            return HttpResponseRedirect(reverse(f"{self.admin_site.name}:mail_oauth_providerhealth_changelist"))
        context = self._context(request) | {"title": _("Hold calls"), "form": form}
        return TemplateResponse(request, f"{TEMPLATES}/hold.html", context)

    @admin.action(description=TRY_NOW.label, permissions=("release",))
    def try_now(self, request: HttpRequest, queryset: QuerySet[ProviderHealth]) -> HttpResponse | None:
        """Let the next call that is due try."""
        return self._operate(request, queryset, TRY_NOW)

    @admin.action(description=RELEASE.label, permissions=("release",))
    def release(self, request: HttpRequest, queryset: QuerySet[ProviderHealth]) -> HttpResponse | None:
        """End holds and brakes."""
        return self._operate(request, queryset, RELEASE)

    def _operate(
        self, request: HttpRequest, queryset: QuerySet[ProviderHealth], operation: LaneOperation
    ) -> HttpResponse | None:
        rows = list(queryset[: AT_ONCE + 1])
        if len(rows) > AT_ONCE:
            text = _("Nothing was done: select at most %(number)d lanes for “%(operation)s”.")
            text %= {"number": AT_ONCE, "operation": operation.label}
            self.message_user(request, text, messages.ERROR)
            return None
        if operation.warning and "confirmed" not in request.POST:
            return self._question(request, operation, rows)
        self._perform(request, operation, rows)
        return None

    def _perform(self, request: HttpRequest, operation: LaneOperation, rows: list[ProviderHealth]) -> None:
        lanes = Lanes(MailCredentials.objects)
        for row in rows:
            result = operation.run(lanes, row)
            self._tell(request, row, operation.name, operation.label, result)

    def _tell(
        self, request: HttpRequest, row: ProviderHealth, action: str, label: _StrOrPromise, result: Result
    ) -> None:
        """Tell, write to the log of the admin, and to that of the site, what somebody did to a lane."""
        tell(self, request, str(row), result)
        log_result(self, request, row, label, result)
        about = {"action": "lane_by_staff", "outcome": action, "actor": str(request.user.pk)}
        lane = {"provider": row.provider, "tenant": row.tenant, "trouble": row.trouble}
        with override(None):
            named = str(row)
        logger.warning("%s: %s by user %s", named, action, request.user.pk, extra=about | lane)

    def _question(
        self, request: HttpRequest, operation: LaneOperation, rows: list[ProviderHealth]
    ) -> HttpResponse:
        context = self._context(request) | {
            "title": _("Are you sure?"),
            "operation": operation,
            "rows": rows,
            "action_checkbox_name": helpers.ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, f"{TEMPLATES}/release_confirmation.html", context)

    def _context(self, request: HttpRequest) -> dict[str, Any]:
        return {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media}
