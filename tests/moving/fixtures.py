"""Grants that other applications hold, and the tables that they hold them in."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.apps import apps
from django.conf import settings as plain
from django.db import connection
from django.test import override_settings
from django.utils import timezone

from mail_oauth.providers import provider_for
from tests.canary.others import DIRECTORY

if TYPE_CHECKING:
    from pytest_django import Settings

    from mail_oauth.testing.provider import FakeProvider

_numbers = itertools.count(1)
_PERSONALITIES = {"keycloak": "oidc"}


class Grant:
    """What a provider really granted to another application: tokens, and when they end."""

    def __init__(self, email: str, reply: dict[str, Any], subject: str, issued_at: datetime) -> None:
        self.email = email
        self.subject = subject
        self.access_token: str = reply["access_token"]
        self.refresh_token: str = reply["refresh_token"]
        self.scope: str = reply["scope"]
        self.issued_at = issued_at
        self.expires_at = issued_at + timedelta(seconds=reply["expires_in"])


@pytest.fixture
def granted(provider: FakeProvider) -> Callable[..., Grant]:
    """`granted(alias="microsoft", email=None, minutes_ago=10)`: the client of this site got it, so it can be refreshed."""

    def make(alias: str = "microsoft", email: str | None = None, minutes_ago: float = 10) -> Grant:
        email = email or f"mover{next(_numbers)}@example.com"
        account = provider.add_account(email)
        scope = " ".join(provider_for(alias).requested_scopes)
        reply = provider.grant(email, personality=_PERSONALITIES.get(alias, alias), scope=scope)
        issued_at = (timezone.now() - timedelta(minutes=minutes_ago)).replace(microsecond=0)
        return Grant(email, {"scope": scope, **reply}, account.subject, issued_at)

    return make


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A directory in which tokens may lie in the open."""
    directory = tmp_path / DIRECTORY
    directory.mkdir()
    return directory


# --- other packages' own tables ---

OTHERS = {
    "allauth": ["allauth", "allauth.account", "allauth.socialaccount"],
    "social": ["social_django"],
    "office": ["tests.moving.office"],
}
_MIDDLEWARE = "allauth.account.middleware.AccountMiddleware"


def _unlisted(installed: Iterable[str]) -> list[str]:
    """Apps of which none is shown in the admin by being installed: it would be there in later tests too."""
    return [
        name.replace("django.contrib.admin", "django.contrib.admin.apps.SimpleAdminConfig") for name in installed
    ]


@pytest.fixture(scope="session")
def tables_of_others(django_db_setup: None, django_db_blocker: Any) -> Iterator[Callable[[Any, str], None]]:
    """Installs another package for one test, with tables that are made once."""
    made: list[Any] = []

    def models_of(names: list[str]) -> list[Any]:
        labels = {name.rpartition(".")[2] for name in names} & set(apps.app_configs)
        return [model for label in sorted(labels) for model in apps.get_app_config(label).get_models()]

    def install(settings: Any, which: str) -> None:
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, _MIDDLEWARE]
        settings.INSTALLED_APPS = [*_unlisted(settings.INSTALLED_APPS), *OTHERS[which]]

    with django_db_blocker.unblock():
        for names in OTHERS.values():
            try:
                __import__(names[0])
            except ImportError:
                continue
            installed = [*_unlisted(plain.INSTALLED_APPS), *names]
            with (
                override_settings(MIDDLEWARE=[*plain.MIDDLEWARE, _MIDDLEWARE]),
                override_settings(INSTALLED_APPS=installed),
                connection.schema_editor() as editor,
            ):
                for model in models_of(names):
                    editor.create_model(model)
                    made.append(model)
                # Without foreign keys: PostgreSQL would let nobody empty `auth_user` beside them, as other tests do.
                editor.deferred_sql[:] = [sql for sql in editor.deferred_sql if "FOREIGN KEY" not in str(sql)]
        yield install
        with connection.schema_editor() as editor:
            for model in reversed(made):
                editor.delete_model(model)


@pytest.fixture
def allauth(tables_of_others: Any, db: None, settings: Settings) -> Any:
    """django-allauth's own models."""
    pytest.importorskip("allauth", reason="django-allauth is not installed")
    tables_of_others(settings, "allauth")
    from allauth.socialaccount import models

    return models


@pytest.fixture
def social(tables_of_others: Any, db: None, settings: Settings) -> Any:
    """social-auth-app-django's own models."""
    pytest.importorskip("social_django", reason="social-auth-app-django is not installed")
    tables_of_others(settings, "social")
    from social_django import models

    return models


@pytest.fixture
def office(tables_of_others: Any, db: None, settings: Settings) -> Any:
    """A site's model for O365's Django backend."""
    pytest.importorskip("O365", reason="O365 is not installed")
    tables_of_others(settings, "office")
    from tests.moving.office import models

    return models
