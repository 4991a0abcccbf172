"""Bulk actions: who had what done to how many mailboxes, how far it is, and what came of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.db import transaction
from django.db.models import Case, IntegerField, Value, When
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import pgettext, pgettext_lazy

from mail_oauth.admin.moments import stamp
from mail_oauth.admin.notices import Badge, Level
from mail_oauth.admin.reading import ToRead
from mail_oauth.models import BulkJob, ItemState, MailCredentials
from mail_oauth.operations.catalogue import OPERATIONS
from mail_oauth.operations.contract import BUDGET_SECONDS
from mail_oauth.operations.jobs import permits, progress_of, stop, work

ROWS_PER_PAGE = 100
RELOAD_SECONDS = 3
"""How often the page of a job under way asks for itself again."""

_FIRST = {ItemState.FAILED: 0, ItemState.DONE: 1, ItemState.WAITING: 2}
_BADGES = {ItemState.DONE: Level.GOOD, ItemState.FAILED: Level.BAD, ItemState.WAITING: Level.WAIT}


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """What came of one mailbox; without an address where the mailbox is gone."""

    pk: UUID
    email: str
    badge: Badge
    texts: list[str]


def state_of(job: BulkJob) -> Badge:
    """Say in a few words how a job is."""
    if job.ended_at is None:
        return Badge(Level.WAIT, pgettext("bulk action", "under way"))
    return (
        Badge(Level.OFF, pgettext("bulk action", "stopped"))
        if job.stopped
        else Badge(Level.GOOD, pgettext("bulk action", "ended"))
    )


def label_of(job: BulkJob) -> str:
    """Say what is done; the bare name of an operation that there is no more."""
    return str(OPERATIONS[job.operation].label) if job.operation in OPERATIONS else job.operation


@admin.register(BulkJob)
class BulkJobAdmin(ToRead):
    """Jobs to look at, to stop and to go on with. Whoever may see mailboxes may see them."""

    list_display = ("what", "total", "state", "begun", "actor")
    list_select_related = ("actor",)
    list_per_page = 50
    sortable_by = ()
    ordering = ("-created_at",)

    @admin.display(description=pgettext_lazy("column", "operation"))
    def what(self, job: BulkJob) -> str:
        """What is done."""
        return label_of(job)

    @admin.display(description=pgettext_lazy("column", "state"))
    def state(self, job: BulkJob) -> str:
        """Whether it is under way."""
        return state_of(job).words

    @admin.display(description=pgettext_lazy("column", "begun"))
    def begun(self, job: BulkJob) -> str:
        """When, to the second."""
        return stamp(job.created_at)

    # --- permissions ---

    def has_view_permission(self, request: HttpRequest, obj: BulkJob | None = None) -> bool:
        """Let those see it who see the mailboxes."""
        return request.user.has_perm("mail_oauth.view_mailcredentials")

    def has_module_permission(self, request: HttpRequest) -> bool:
        """The same for the index."""
        return self.has_view_permission(request)

    def may_steer(self, request: HttpRequest, job: BulkJob) -> bool:
        """Whether the user may stop a job and go on with it: whoever may do the same to a mailbox.

        What this release does not know may be stopped by whoever may change mailboxes.
        """
        names = OPERATIONS[job.operation].permissions if job.operation in OPERATIONS else ("change",)
        return permits(request.user, names)

    # --- the page of a job ---

    def get_urls(self) -> list[URLPattern]:
        """Add what steers a job."""
        steer = transaction.non_atomic_requests(self.admin_site.admin_view(self.steer_view))
        return [path("<uuid:pk>/steer/<slug:how>/", steer, name="mail_oauth_bulkjob_steer"), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show how far a job is; the page asks for itself again while it is under way."""
        if request.method == "POST" or not self.has_view_permission(request):
            raise PermissionDenied
        job = self.get_object(request, unquote(object_id))
        if job is None:
            raise Http404
        page = self._items(request, job)
        context = self.admin_site.each_context(request) | {
            "title": label_of(job),
            "subtitle": stamp(job.created_at),
            "original": job,
            "opts": self.opts,
            "media": self.media,
            "job": job,
            "state": state_of(job),
            "progress": progress_of(job),
            "page": page,
            "lines": _lines(page.object_list),
            "reload_seconds": RELOAD_SECONDS if job.ended_at is None else 0,
            "may_steer": job.ended_at is None and self.may_steer(request, job),
        }
        return TemplateResponse(request, "admin/mail_oauth/bulkjob/progress.html", context)

    def steer_view(self, request: HttpRequest, pk: UUID, how: str) -> HttpResponse:
        """Stop a job, or go on with it here for as long as a request may last, worker or no worker."""
        job = self.get_object(request, str(pk))
        if job is None or how not in {"stop", "continue"}:
            raise Http404
        if not self.may_steer(request, job):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if how == "continue":
            work(job, seconds=BUDGET_SECONDS)
        elif stop(job):
            self.message_user(request, _("Stopped: no further mailbox is begun."), messages.SUCCESS)
        return HttpResponseRedirect(reverse(f"{self.admin_site.name}:mail_oauth_bulkjob_change", args=[pk]))

    def _items(self, request: HttpRequest, job: BulkJob) -> Page[Any]:
        """Return a page of what came of it: first what was not done, last what waits."""
        cases = [When(state=state, then=Value(place)) for state, place in _FIRST.items()]
        items = job.items.annotate(place=Case(*cases, output_field=IntegerField())).order_by("place", "pk")
        pages = Paginator(items, ROWS_PER_PAGE)
        pages.count = job.total  # known, so that nobody counts
        return pages.get_page(request.GET.get("p"))


def _lines(items: Any) -> list[Line]:
    """Put addresses to the mailboxes, by one query."""
    shown = list(items)
    rows = MailCredentials.objects.filter(pk__in=[item.mailbox for item in shown])
    emails = dict(rows.values_list("pk", "email"))
    return [
        Line(
            pk=item.mailbox,
            email=emails.get(item.mailbox, ""),
            badge=Badge(_BADGES[ItemState(item.state)], item.get_state_display()),
            texts=item.text.split("\n") if item.text else [],
        )
        for item in shown
    ]
