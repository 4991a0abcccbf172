"""Showing a token in clear: where the site has it on, to staff with the permission, for a reason, and with an event."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from mail_oauth.admin.acting import TEMPLATES, ActsOnMailboxes, order_of
from mail_oauth.admin.reports import log_result
from mail_oauth.conf import app_settings
from mail_oauth.encryption import unseal
from mail_oauth.exceptions import ConfigurationError, SealError
from mail_oauth.frames import keeps_locals_in
from mail_oauth.managers.vocabulary import EventKind
from mail_oauth.models import MailCredentials
from mail_oauth.operations.contract import Result, explain, record, tell
from mail_oauth.tokens import Secret

PERMISSION = "mail_oauth.reveal_mailcredentials"
_TOKENS = [("access_token", gettext_lazy("access token")), ("refresh_token", gettext_lazy("refresh token"))]


class RevealForm(forms.Form):
    """Which token, and why."""

    token = forms.ChoiceField(
        label=pgettext_lazy("which of two", "Token"), choices=_TOKENS, widget=forms.RadioSelect
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        min_length=10,
        max_length=200,
        help_text=gettext_lazy("It is kept in the mailbox's history, beside your name. Write no secret here."),
        widget=forms.TextInput(attrs={"class": "vTextField", "autocomplete": "off"}),
    )


class RevealsTokens(ActsOnMailboxes):
    """The page that shows a token."""

    def may_reveal(self, request: HttpRequest, row: MailCredentials) -> bool:
        """Whether this person may see this mailbox's tokens on this site."""
        try:
            on = app_settings().reveal_tokens
        except ConfigurationError:
            return False
        return on and self.has_view_permission(request, row) and request.user.has_perm(PERMISSION)

    @keeps_locals_in
    def reveal_view(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """Ask which token and why; then write that down, and show it once, on a page that nothing keeps (`admin_view`: no-store)."""
        row = self.get_object(request, str(pk))
        if row is None:
            raise Http404
        if not self.may_reveal(request, row):
            raise PermissionDenied
        form = RevealForm(request.POST if request.method == "POST" else None)
        context: dict[str, Any] = self.page_context(request, row) | {"title": _("Show a token"), "form": form}
        if form.is_valid():
            token, problem = self._revealed(request, row, **form.cleaned_data)
            context |= {"token": token, "problem": problem, "which": dict(_TOKENS)[form.cleaned_data["token"]]}
        response = TemplateResponse(request, f"{TEMPLATES}/reveal.html", context)
        response.headers["Referrer-Policy"] = "same-origin"
        return response

    def _revealed(
        self, request: HttpRequest, row: MailCredentials, token: str, reason: str
    ) -> tuple[Secret | None, str]:
        """Return a token, or why there is none; only after the event is written."""
        order = order_of(request)
        if not record(row, EventKind.TOKEN_REVEALED, order, reason=token, note=reason):
            return None, _("It was deleted meanwhile.")
        tell(row, "reveal", order, "done", token)
        log_result(self, request, row, EventKind.TOKEN_REVEALED.label, Result(True, token))
        sealed = getattr(row, token)
        if sealed is None:
            return None, _("The mailbox has none.")
        try:
            return unseal(sealed, row.place(token)), ""
        except (SealError, ConfigurationError) as error:
            return None, str(explain(error))
