"""A mailbox connected the real way, through the connect flow, at a provider in another process."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from mail_oauth.models import MailCredentials
from mail_oauth.testing.walker import walk


def connected_mailbox() -> MailCredentials:
    """Press the button, consent, follow the callback."""
    user, _ = User.objects.get_or_create(username="bench")
    client = Client()
    client.force_login(user)
    sent = client.post(reverse("mail_oauth:start", args=["microsoft"]))
    callback = urlsplit(walk(sent["Location"], email="bench@example.com", deny=False, scopes=None))
    client.get(f"{callback.path}?{callback.query}")
    mailbox: MailCredentials = MailCredentials.objects.for_user(user).get()
    return mailbox
