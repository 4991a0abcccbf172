from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from mail_oauth.testing.provider import FakeProvider

OLD = "the-former-secret-of-this-client"
NEW = "the-secret-that-takes-its-place"
OTHER = "a-secret-that-nobody-wrote-down"


@dataclass
class Rotation:
    """A client's secret changes: `here` in the settings of every alias, `there` at the provider."""

    provider: FakeProvider
    settings: Any

    def here(self, *secrets: str, **options: Any) -> None:
        ours = self.settings.MAIL_OAUTH
        changed = {**options, "CLIENT_SECRET": list(secrets)}
        providers = {alias: {**given, **changed} for alias, given in ours["PROVIDERS"].items()}
        self.settings.MAIL_OAUTH = {**ours, "PROVIDERS": providers}

    def there(self, secret: str) -> None:
        self.provider.add_client(self.provider.client_id, secret)
        self.provider.clear_calls()

    def tries(self, endpoint: str = "token") -> list[str | None]:
        """What the provider answered since its secret last changed: an error, or None where it let the client in."""
        return [call.error for call in self.provider.calls if call.endpoint == endpoint]


@pytest.fixture
def rotation(provider: FakeProvider, settings: Any) -> Iterator[Rotation]:
    yield Rotation(provider, settings)
    provider.add_client(provider.client_id, provider.client_secret)
