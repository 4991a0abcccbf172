"""The pages that the example adds: a user's mailboxes with their tokens being refreshed, and the mail in each."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages as notices
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from example_project.forms import MessageForm
from example_project.mail import MailFailed, newest, send
from mail_oauth.models import MailCredentials


def home(request: HttpRequest) -> HttpResponse:
    """Show connected mailboxes and how long their tokens still live."""
    mailboxes = MailCredentials.objects.none()
    if request.user.is_authenticated:
        mailboxes = MailCredentials.objects.for_user(request.user).present().without_tokens().order_by("email")
    return render(request, "example_project/home.html", {"mailboxes": mailboxes, "now": timezone.now()})


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def messages(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Show a mailbox's newest messages, and send one from it."""
    mine = MailCredentials.objects.for_user(request.user).present().without_tokens()
    mailbox = get_object_or_404(mine, pk=pk)
    form = MessageForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            send(mailbox, **form.cleaned_data)
        except MailFailed as failed:
            form.add_error(None, str(failed))
        else:
            notices.success(request, f"Your message to {form.cleaned_data['to']} is sent.")
            return redirect("messages", pk=pk)
    context = {"mailbox": mailbox, "form": form, **_shown(mailbox)}
    return render(request, "example_project/messages.html", context)


def _shown(mailbox: MailCredentials) -> dict[str, object]:
    """What the page shows of a mailbox: its messages, or why there are none to see."""
    try:
        return {"letters": newest(mailbox)}
    except MailFailed as failed:
        return {"failed": str(failed)}
