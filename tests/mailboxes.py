"""Fixtures of this app's own world: a fake provider, its settings, and connected mailboxes.

`mail_oauth.testing` is a real HTTP server on loopback; nothing of the app itself is replaced.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from mail_oauth.testing.provider import FakeProvider
from mail_oauth.tokens import MailServer

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from pytest_django import Settings

    from mail_oauth.models import MailCredentials

_numbers = itertools.count(1)


@pytest.fixture
def provider(fake_provider: FakeProvider, settings: Settings) -> FakeProvider:
    """The fake provider, configured as `microsoft`, `google`, `keycloak` (OIDC) and `plain` (OAuth 2.0).

    No test meets a fault or a policy of another. The near copy is off: it would answer for the shared cache and
    the row, which tests reach past it. tests/near has it on, as have all rigs whose workers are processes.
    """
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "NEAR_CACHE_SECONDS": 0}
    return fake_provider


@pytest.fixture
def no_mail_servers(provider: FakeProvider, settings: Settings) -> None:
    """Every provider's mail is at a host that nobody has (RFC 6761): who signs in there is told so."""
    nowhere = {name: MailServer(host="mail.invalid", port=993) for name in ("IMAP", "POP", "SMTP")}
    providers = {alias: each | nowhere for alias, each in settings.MAIL_OAUTH["PROVIDERS"].items()}
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROVIDERS": providers}


@pytest.fixture
def posts(provider: FakeProvider) -> Callable[[MailCredentials], int]:
    """How many refreshes of a mailbox the provider was asked for."""
    return lambda mailbox: len(provider.token_calls("refresh_token", email=mailbox.email))


def stored(mailbox: MailCredentials) -> MailCredentials:
    """A mailbox as it is by now."""
    return type(mailbox).objects.using("default").get(pk=mailbox.pk)


@pytest.fixture
def user(db: None) -> User:
    """A user with a password, `password`."""
    from django.contrib.auth.models import User

    return User.objects.create_user(f"user{next(_numbers)}", password="password")


@pytest.fixture
def connect(provider: FakeProvider, user: User) -> Callable[..., MailCredentials]:
    """Make a connected mailbox whose tokens the fake provider really issued.

    `connect(alias="microsoft", email=None, owner=None, seconds_left=3600, **columns)`; `seconds_left` moves
    the token in time as if it had been issued earlier.
    """

    def make(
        alias: str = "microsoft",
        email: str | None = None,
        owner: User | None = None,
        seconds_left: float | None = None,
        **columns: Any,
    ) -> MailCredentials:
        from mail_oauth.testing.factories import make_mailbox

        email = email or f"ada{next(_numbers)}@example.com"
        account = provider.add_account(email)
        columns = {
            "issuer": f"https://issuer.example/{quote(alias)}",
            "subject": account.subject,
            "sign_in_address": email,
            **columns,
        }
        return make_mailbox(
            provider, user=owner or user, alias=alias, email=email, seconds_left=seconds_left, **columns
        )

    return make
