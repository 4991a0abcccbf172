"""Adding mailboxes that the app itself is let into: the only ones that staff can add; others their users connect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION, LogEntry
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from mail_oauth.admin.aliases import provider_name
from mail_oauth.admin.reports import sentences
from mail_oauth.conf import app_settings
from mail_oauth.connect.app_only import Added, add_mailboxes
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.managers.app_tokens import mailbox_key
from mail_oauth.models import MailCredentials
from mail_oauth.providers.claims import is_address

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[MailCredentials]
else:
    _Admin = admin.ModelAdmin

MOST = 1000
"""So many addresses one page takes; `manage.py mail_oauth add_mailbox --file` takes any number."""

_TEMPLATE = "admin/mail_oauth/mailcredentials/add_form.html"


def app_only_aliases() -> list[str]:
    """Return the aliases whose mailboxes have no user; none where the settings cannot be read."""
    try:
        configured: Mapping[str, Any] = app_settings().providers
    except ConfigurationError:
        return []
    return [
        alias
        for alias, options in configured.items()
        if isinstance(options, Mapping) and options.get("ACCESS") == "app"
    ]


class AddForm(forms.Form):
    """A provider, and addresses."""

    provider = forms.ChoiceField(label=gettext_lazy("Provider"))
    addresses = forms.CharField(
        label=gettext_lazy("Mailbox addresses"),
        widget=forms.Textarea(attrs={"rows": 12, "cols": 60}),
        help_text=gettext_lazy(
            "One a line. The app must be let into each of them by the administrator at the provider."
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Offer the aliases of the settings."""
        super().__init__(*args, **kwargs)
        choices = [(alias, provider_name(alias)) for alias in app_only_aliases()]
        self.fields["provider"] = forms.ChoiceField(label=gettext_lazy("Provider"), choices=choices)

    def clean_addresses(self) -> list[str]:
        """Refuse all where one is no address, or where they are too many."""
        lines = [line.strip() for line in str(self.cleaned_data["addresses"]).splitlines()]
        found = [line for line in lines if line]
        if len(found) > MOST:
            raise forms.ValidationError(_("At most %(most)d at once.") % {"most": MOST})
        wrong = [each for each in found if not is_address(each)]
        if wrong:
            raise forms.ValidationError(_("This is no address: %(line)s") % {"line": ascii(wrong[0][:80])})
        return found


class AddsMailboxes(_Admin):
    """The part of the admin by which they are added."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Whether there is a provider whose mailboxes are not connected by their users."""
        return bool(app_only_aliases()) and super().has_add_permission(request)

    @method_decorator(transaction.non_atomic_requests)
    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Ask for addresses, and add them."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = AddForm(request.POST if request.method == "POST" else None)
        if form.is_valid() and self._added(request, form):
            return HttpResponseRedirect(reverse(f"{self.admin_site.name}:mail_oauth_mailcredentials_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "title": _("Add mailboxes without a user"),
            "opts": self.opts,
            "media": self.media,
            "form": form,
            **(extra_context or {}),
        }
        return TemplateResponse(request, _TEMPLATE, context)

    def _added(self, request: HttpRequest, form: AddForm) -> bool:
        alias, addresses = form.cleaned_data["provider"], form.cleaned_data["addresses"]
        try:
            added = add_mailboxes(alias, addresses, actor=request.user)
        except ConfigurationError as error:
            form.add_error(
                "provider", _("The settings of this provider are wrong: %(problem)s") % {"problem": error}
            )
            return False
        keys = [mailbox_key(alias, each) for each in (*added.new, *added.again)]
        rows = list(MailCredentials.objects.without_tokens().filter(app_key__in=keys))
        log: Any = LogEntry.objects  # it only walks along what it is given
        log.log_actions(request.user.pk, rows, ADDITION, "Added without a user.")  # in English, as all of the log
        self._tell(request, added)
        return True

    def _tell(self, request: HttpRequest, added: Added) -> None:
        number = len(added.new) + len(added.again)
        texts = [
            ngettext("%(number)d mailbox was added.", "%(number)d mailboxes were added.", number)
            % {"number": number}
        ]
        if added.known:
            known = len(added.known)
            texts.append(
                ngettext("%(number)d was there already.", "%(number)d were there already.", known)
                % {"number": known}
            )
        self.message_user(request, sentences(texts), messages.SUCCESS if number else messages.WARNING)
