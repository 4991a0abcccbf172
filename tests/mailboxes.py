"""Fixtures of this app's own world: a fake provider, its settings, and connected mailboxes.

`mail_oauth.testing` is a real HTTP server on loopback; nothing of the app itself is replaced.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from django.utils import timezone

from mail_oauth.testing.policy import Policy
from mail_oauth.testing.provider import FakeProvider

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from pytest_django import Settings

    from mail_oauth.models import MailCredentials

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def fake_provider() -> Iterator[FakeProvider]:
    """One fake provider for the whole run; tests use `provider`, which also writes the settings."""
    with FakeProvider() as running:
        yield running


def provider_settings(provider: FakeProvider) -> dict[str, Any]:
    """`MAIL_OAUTH` for a fake provider: one alias for each of its personalities."""
    client = {"CLIENT_ID": provider.client_id, "CLIENT_SECRET": provider.client_secret}
    google, plain = provider.urls("google"), provider.urls("plain")
    return {
        "PRIVATE_HOSTS": ["127.0.0.1"],
        "PROVIDERS": {
            "microsoft": {**client, "AUTHORITY": f"{provider.url}/microsoft"},
            "google": {
                **client,
                "AUTHORIZE_URL": google["authorize"],
                "TOKEN_URL": google["token"],
                "REVOKE_URL": google["revoke"],
                "USERINFO_URL": google["userinfo"],
                "JWKS_URL": google["jwks"],
                "ISSUER": google["issuer"],
            },
            "keycloak": {
                **client,
                "CLASS": "oidc",
                "NAME": "Keycloak",
                "ISSUER": provider.urls("oidc")["issuer"],
                "SCOPES": ["openid", "email", "offline_access", "mail"],
            },
            "plain": {
                **client,
                "CLASS": "oauth2",
                "NAME": "Plain",
                "AUTHORIZE_URL": plain["authorize"],
                "TOKEN_URL": plain["token"],
                "REVOKE_URL": plain["revoke"],
                "SCOPES": ["mail", "offline_access"],
            },
        },
    }


@pytest.fixture
def provider(
    fake_provider: FakeProvider, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakeProvider]:
    """The fake provider, configured as `microsoft`, `google`, `keycloak` (OIDC) and `plain` (OAuth 2.0).

    No test meets a fault or a policy of another. The near copy is off: it would answer for the shared cache and
    the row, which tests reach past it. tests/near has it on, as have all rigs whose workers are processes.
    """
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    settings.MAIL_OAUTH = {**provider_settings(fake_provider), "NEAR_CACHE_SECONDS": 0}
    yield fake_provider
    fake_provider.clear_faults()
    fake_provider.policy = Policy()


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
    personalities = {"keycloak": "oidc"}

    def make(
        alias: str = "microsoft",
        email: str | None = None,
        owner: User | None = None,
        seconds_left: float | None = None,
        **columns: Any,
    ) -> MailCredentials:
        from mail_oauth.managers.columns import token_changes
        from mail_oauth.models import MailCredentials
        from mail_oauth.providers import provider_for
        from mail_oauth.refresh.replies import parse_tokens

        email = email or f"ada{next(_numbers)}@example.com"
        account = provider.add_account(email)
        scopes, consented = map(
            " ".join, (provider_for(alias).requested_scopes, provider_for(alias).consented_scopes)
        )
        reply = provider.grant(email, personality=personalities.get(alias, alias), scope=consented)
        row = MailCredentials(
            user=owner or user,
            provider=alias,
            email=email,
            issuer=f"https://issuer.example/{quote(alias)}",
            subject=account.subject,
            sign_in_address=email,
            requested_scopes=scopes,
            granted_scopes=scopes,
        )
        for name, value in {**token_changes(row, parse_tokens(reply)), **columns}.items():
            setattr(row, name, value)
        if seconds_left is not None:
            expiry = timezone.now() + timedelta(seconds=seconds_left)
            row.token_issued_at = expiry - timedelta(hours=1)
            row.token_expiry = expiry
            row.refresh_at = expiry - timedelta(seconds=300)
        row.save()
        return row

    return make
