"""A browser's way through the connect flow, with Django's test client and the fake provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from mail_oauth.testing.provider import FakeProvider

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@dataclass
class Browser:
    """A signed-in user's browser."""

    client: Client
    provider: FakeProvider
    user: User

    def start(self, alias: str = "microsoft", **fields: Any) -> str:
        """Press the button; return where the browser is sent."""
        reply = self.client.post(reverse("mail_oauth:start", args=[alias]), fields)
        assert reply.status_code == 302, reply.content
        return reply["Location"]

    def consent(self, url: str, email: str, **how: Any) -> str:
        """Sign in at the provider and consent; return the callback's path and query."""
        if email not in self.emails:
            self.emails.add(email)
            self.provider.add_account(email)
        parts = urlsplit(self.provider.authorize(url, email=email, **how))
        return f"{parts.path}?{parts.query}"

    def follow(self, callback: str, **headers: Any) -> HttpResponse:
        return self.client.get(callback, headers=headers or None)

    def connect(self, alias: str = "microsoft", account: str = "ada@example.com", **fields: Any) -> HttpResponse:
        """The whole way."""
        return self.follow(self.consent(self.start(alias, **fields), account))

    emails = set()  # type: ignore[var-annotated]  # accounts outlive a test, as the session's provider does


@pytest.fixture
def browser_of(provider: FakeProvider):
    def make(user: User) -> Browser:
        client = Client()
        client.force_login(user)
        return Browser(client, provider, user)

    return make


@pytest.fixture
def surfer(browser_of, user) -> Browser:
    """The browser of `user`."""
    return browser_of(user)


@pytest.fixture
def other_user(db: None) -> User:
    from django.contrib.auth.models import User

    return User.objects.create_user("mallory", password="password")
