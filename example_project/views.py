"""The one page that the example adds: a user's mailboxes, and their tokens being refreshed."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from mail_oauth.models import MailCredentials


def home(request: HttpRequest) -> HttpResponse:
    """Show connected mailboxes and how long their tokens still live."""
    mailboxes = MailCredentials.objects.none()
    if request.user.is_authenticated:
        mailboxes = MailCredentials.objects.for_user(request.user).present().without_tokens().order_by("email")
    return render(request, "example_project/home.html", {"mailboxes": mailboxes, "now": timezone.now()})
