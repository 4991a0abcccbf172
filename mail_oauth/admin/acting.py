"""Doing things to mailboxes from their pages and their list: who may, the question before, and telling what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mail_oauth.admin.policies import POLICIES
from mail_oauth.admin.reports import report_items, report_one
from mail_oauth.connect.urls import origin
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.managers.vocabulary import Access
from mail_oauth.models import BulkJob, MailCredentials
from mail_oauth.models.jobs import LONGEST_ORIGIN
from mail_oauth.operations.catalogue import OPERATIONS
from mail_oauth.operations.contract import BUDGET_SECONDS, NOT_OFFERED, Operation, Order, perform
from mail_oauth.operations.jobs import MOST, order_job, progress_of, work
from mail_oauth.operations.queueing import call_workers

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

    _MailboxAdmin = admin.ModelAdmin[MailCredentials]
else:
    _MailboxAdmin = admin.ModelAdmin

Rows = QuerySet[MailCredentials]
TEMPLATES = "admin/mail_oauth/mailcredentials"
NAMED = 20
"""So many mailboxes a question names; the others are counted."""


def order_of(request: HttpRequest) -> Order:
    """Say who asks, and under which address they reach this site, as far as that can be trusted."""
    try:
        here = origin(request)
    except ConfigurationError:
        here = ""
    return Order(actor=request.user, origin=here if len(here) <= LONGEST_ORIGIN else "")


class ActsOnMailboxes(_MailboxAdmin):
    """Operations on one mailbox and on many."""

    def allowed(self, request: HttpRequest, operation: Operation, row: MailCredentials | None = None) -> bool:
        """Whether the user may do this; any one of the operation's permissions suffices."""
        return any(self._has(request, name, row) for name in operation.permissions)

    def _has(self, request: HttpRequest, name: str, row: MailCredentials | None) -> bool:
        checks = {"change": self.has_change_permission, "delete": self.has_delete_permission}
        if name in checks:
            return checks[name](request, row)
        return request.user.has_perm(f"{self.opts.app_label}.{name}_{self.opts.model_name}")

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> dict[str, Any]:
        """Offer the actions that the user may run; `action_location` is told from Django 6.1 on."""
        where = {} if action_location is None else {"action_location": action_location}
        actions: dict[str, Any] = super().get_actions(request, **where)
        every = OPERATIONS | POLICIES
        return {
            name: action
            for name, action in actions.items()
            if name not in every or self.allowed(request, every[name])
        }

    def operate_view(self, request: HttpRequest, pk: UUID, name: str) -> HttpResponse:
        """Do something to one mailbox, after a question where the operation wants one."""
        operation, row = (OPERATIONS | POLICIES).get(name), self.get_object(request, str(pk))
        if operation is None or row is None:
            raise Http404
        if not self.allowed(request, operation, row):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if operation.confirmed and "confirmed" not in request.POST:
            return self._question(request, operation, [row], 1, row)
        report_one(self, request, operation, row, perform(operation, row, order_of(request)))
        return HttpResponseRedirect(self.page_url(pk))

    def page_url(self, pk: Any) -> str:
        """Return the address of a mailbox's page."""
        return reverse(f"{self.admin_site.name}:mail_oauth_mailcredentials_change", args=[pk])

    def job_url(self, job: BulkJob) -> str:
        """Return the address of a job's page."""
        return reverse(f"{self.admin_site.name}:mail_oauth_bulkjob_change", args=[job.pk])

    def operate_on_all(self, request: HttpRequest, queryset: Rows, operation: Operation) -> HttpResponse | None:
        """Ask; then do it to a few at once, and to many by a job, whose page shows how far it is."""
        if operation.mailboxes_only:
            queryset = queryset.exclude(access=Access.APP)
        if "confirmed" not in request.POST:
            return self._question(request, operation, list(queryset[:NAMED]), queryset.count())
        pks = list(queryset.values_list("pk", flat=True)[: MOST + 1])
        if not pks:
            self.message_user(request, NOT_OFFERED, messages.WARNING)
            return None
        if len(pks) > MOST:
            self._too_many(request, queryset, operation)
            return None
        job, few = order_job(operation, pks, order_of(request)), len(pks) <= operation.at_once
        if few or not call_workers():
            work(job, seconds=BUDGET_SECONDS)
        if few and not progress_of(job).waiting:
            report_items(self, request, job)
            return None
        if few:
            call_workers()
        return HttpResponseRedirect(self.job_url(job))

    def _too_many(self, request: HttpRequest, queryset: Rows, operation: Operation) -> None:
        if operation.leave is None:
            text = _("Nothing was done: select at most %(number)d mailboxes for “%(operation)s”.")
            text %= {"number": MOST, "operation": operation.label}
            self.message_user(request, text, messages.ERROR)
            return
        number = operation.leave(queryset)
        text = ngettext(
            "%(number)d mailbox is due now: the sweep takes it next.",
            "%(number)d mailboxes are due now: the sweep takes them next.",
            number,
        )
        self.message_user(request, text % {"number": number}, messages.INFO)

    def _question(
        self,
        request: HttpRequest,
        operation: Operation,
        rows: list[MailCredentials],
        number: int,
        row: MailCredentials | None = None,
    ) -> HttpResponse:
        """Ask before it is done; the answer is posted to where the question came from."""
        context = self.page_context(request, row) | {
            "title": _("Are you sure?"),
            "operation": operation,
            "warning": self._warning(operation, row),
            "rows": rows,
            "number": number,
            "more": number - len(rows),
            "selected": request.POST.getlist(helpers.ACTION_CHECKBOX_NAME),
            "select_across": request.POST.get("select_across", "0"),
            "action_checkbox_name": helpers.ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, f"{TEMPLATES}/operation_confirmation.html", context)

    def _warning(self, operation: Operation, row: MailCredentials | None) -> _StrOrPromise:
        of_app = row is not None and row.access == Access.APP
        return (of_app and operation.warning_of_app) or operation.warning

    def page_context(self, request: HttpRequest, row: MailCredentials | None) -> dict[str, Any]:
        """Return what every page of this admin's own needs; overridden where it is known."""
        raise NotImplementedError
