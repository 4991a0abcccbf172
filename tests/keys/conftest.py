"""Keys that come and go, and another app that uses the field."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from mail_oauth.encryption import keyring, new_key
from tests.keys.vault import models

if TYPE_CHECKING:
    from pytest_django import Settings

    from mail_oauth.testing.provider import FakeProvider


class Keys:
    """The keys of the settings, and what operators do with them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def first(self) -> str:
        """A new key comes before the others; its fingerprint."""
        self.settings.FERNET_KEYS = [new_key(), *self.settings.FERNET_KEYS]
        return self.fingerprints[0]

    def drop_old(self) -> list[str]:
        """Only the first stays; the fingerprints of the others."""
        gone = self.fingerprints[1:]
        self.settings.FERNET_KEYS = self.settings.FERNET_KEYS[:1]
        return gone

    def replace_all(self) -> Callable[[], None]:
        """Another key instead of all; what brings them back."""
        before = self.settings.FERNET_KEYS
        self.settings.FERNET_KEYS = [new_key()]

        def put_back() -> None:
            self.settings.FERNET_KEYS = [*self.settings.FERNET_KEYS, *before]

        return put_back

    @property
    def fingerprints(self) -> list[str]:
        return [key.fingerprint for key in keyring().keys]


@pytest.fixture
def keys(settings: Settings) -> Keys:
    return Keys(settings)


@pytest.fixture(scope="session")
def vault_tables(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    with django_db_blocker.unblock():
        with connection.schema_editor() as editor:
            for model in (models.Jewel, models.Setting):
                editor.create_model(model)
        yield
        with connection.schema_editor() as editor:
            for model in (models.Setting, models.Jewel):
                editor.delete_model(model)


@pytest.fixture
def vault(vault_tables: None, db: None, settings: Settings) -> Any:
    """An installed app with tables of its own; its models' module."""
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "tests.keys.vault"]
    return models


@pytest.fixture
def run(settings: Settings) -> Callable[..., tuple[int, str]]:
    """Runs `manage.py mail_oauth …`; its exit code and all that it wrote, in which no key stands."""

    def call(*arguments: Any) -> tuple[int, str]:
        out, code = io.StringIO(), 0
        try:
            call_command("mail_oauth", *map(str, arguments), stdout=out, stderr=out)
        except CommandError as error:
            out.write(f"CommandError: {error}")
            code = error.returncode
        assert not any(key in out.getvalue() for key in getattr(settings, "FERNET_KEYS", []))
        return code, out.getvalue()

    return call


def posts_of(provider: FakeProvider, mailbox: Any) -> int:
    """How often a provider was asked to refresh a mailbox."""
    return len(provider.token_calls("refresh_token", email=mailbox.email))
