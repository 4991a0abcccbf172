"""The pages of the help desk. Each shows a user's own mailbox only."""

from __future__ import annotations

from uuid import UUID

from django import forms
from django.contrib import messages as notices
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from example_project.helpdesk.inbox import answer, read
from example_project.mail import MailFailed
from mail_oauth.models import MailCredentials


class AnswerForm(forms.Form):
    """The text of an answer."""

    text = forms.CharField(label="Your answer", max_length=10_000, widget=forms.Textarea(attrs={"rows": 6}))


@never_cache
@login_required
@require_safe
def desk(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show a mailbox's conversations, those that wait for an answer marked."""
    mailbox = _mine(request, pk)
    try:
        context = {"conversations": read(mailbox)}
    except MailFailed as failed:
        return _failed(request, mailbox, failed)
    return render(request, "helpdesk/desk.html", {"mailbox": mailbox, **context})


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def conversation(request: HttpRequest, pk: UUID, key: str) -> HttpResponse:
    """Show one conversation, and answer it."""
    mailbox, form = _mine(request, pk), AnswerForm(request.POST or None)
    try:
        found = next((each for each in read(mailbox) if each.key == key), None)
    except MailFailed as failed:
        return _failed(request, mailbox, failed)
    if found is None:
        raise Http404("There is no such conversation among the newest messages.")
    if request.method == "POST" and form.is_valid():
        try:
            receiver = answer(mailbox, found, form.cleaned_data["text"])
        except MailFailed as failed:
            form.add_error(None, str(failed))
        else:
            notices.success(request, f"Your answer to {receiver} is sent.")
            return redirect("helpdesk:conversation", pk=pk, key=key)
    return render(request, "helpdesk/conversation.html", {"mailbox": mailbox, "conversation": found, "form": form})


def _mine(request: HttpRequest, pk: UUID) -> MailCredentials:
    mine = MailCredentials.objects.for_user(request.user).present().without_tokens()
    mailbox: MailCredentials = get_object_or_404(mine, pk=pk)
    return mailbox


def _failed(request: HttpRequest, mailbox: MailCredentials, failed: MailFailed) -> HttpResponse:
    """Say what to do: a `MailboxError` did, in its own words."""
    return render(request, "helpdesk/desk.html", {"mailbox": mailbox, "failed": str(failed)})
