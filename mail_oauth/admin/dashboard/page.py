"""The dashboard's page, and the button that counts the mailboxes anew."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.text import capfirst
from django.utils.translation import ngettext

from mail_oauth.admin.dashboard.drawings import charts
from mail_oauth.admin.dashboard.findings import LISTS, figure
from mail_oauth.admin.dashboard.panels import panels
from mail_oauth.admin.dashboard.summary import summarise
from mail_oauth.admin.moments import distance
from mail_oauth.admin.reading import ToRead
from mail_oauth.models import Dashboard
from mail_oauth.upkeep.overview import overview
from mail_oauth.upkeep.survey import take_survey

VIEW_MAILBOXES, CHANGE_MAILBOXES = "mail_oauth.view_mailcredentials", "mail_oauth.change_mailcredentials"


@admin.register(Dashboard)
class DashboardAdmin(ToRead):
    """One page for who may view it, or the mailboxes."""

    class Media:
        css = {"all": ("mail_oauth/dashboard.css",)}

    def get_urls(self) -> list[URLPattern]:
        """The page stands where a list would; nothing else of a model's pages is there."""
        names = "mail_oauth_dashboard_changelist", "mail_oauth_dashboard_count"
        return [
            path("", self.admin_site.admin_view(self.changelist_view), name=names[0]),
            path("count/", self.admin_site.admin_view(self.count_view), name=names[1]),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show how everything is."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        seen = overview()
        context = {
            **self.admin_site.each_context(request),
            "title": capfirst(self.opts.verbose_name),
            "opts": self.opts,
            "media": self.media,
            "seen": seen,
            "summary": summarise(seen),
            "counted": distance(seen.survey.taken_at, seen.now) if seen.survey else "",
            "charts": charts(seen),
            "panels": panels(seen),
            "open_lists": [model for model in LISTS if self._may_see(request, model)],
            "may_count": not seen.live and request.user.has_perm(CHANGE_MAILBOXES),
            **(extra_context or {}),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/mail_oauth/dashboard/dashboard.html", context)

    def count_view(self, request: HttpRequest) -> HttpResponse:
        """Count the mailboxes anew; it takes some seconds for a million of them."""
        if not request.user.has_perm(CHANGE_MAILBOXES):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        number = take_survey(keys=False).status.mailboxes
        self.message_user(
            request,
            ngettext("%(number)s mailbox was counted.", "%(number)s mailboxes were counted.", number)
            % {"number": figure(number)},
            messages.SUCCESS,
        )
        return HttpResponseRedirect(reverse(f"{self.admin_site.name}:mail_oauth_dashboard_changelist"))

    def _may_see(self, request: HttpRequest, model: str) -> bool:
        return any(request.user.has_perm(f"mail_oauth.{what}_{model}") for what in ("view", "change"))

    # --- permissions ---

    def has_view_permission(self, request: HttpRequest, obj: Dashboard | None = None) -> bool:
        """Whoever may view the mailboxes may view it, too."""
        return super().has_view_permission(request, obj) or request.user.has_perm(VIEW_MAILBOXES)

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Show it in the index to whoever may view it."""
        return self.has_view_permission(request)
