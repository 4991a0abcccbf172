"""Providers that let an app in without a user, at the fake provider: `work` (Microsoft) and `domain` (Google)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mail_oauth.connect.app_only import add_mailboxes
from mail_oauth.models import MailCredentials
from mail_oauth.testing.provider import FakeProvider
from tests.admin.conftest import root, signed_in, staff, superuser  # noqa: F401  # fixtures
from tests.app_only.certificates import Certificate

TENANT = "contoso.example"


class Site:
    """The settings of both, which a test changes option by option."""

    def __init__(self, provider: FakeProvider, settings: Any, directory: Path) -> None:
        self.provider, self.settings, self.directory = provider, settings, directory
        self.key_file = directory / "service-account.json"
        self.key_file.write_text(json.dumps(provider.add_service_account()))
        google = settings.MAIL_OAUTH["PROVIDERS"]["google"]
        self.options: dict[str, dict[str, Any]] = {
            "work": {
                "CLASS": "microsoft",
                "ACCESS": "app",
                "TENANT": TENANT,
                "AUTHORITY": f"{provider.url}/microsoft",
                "CLIENT_ID": provider.client_id,
                "CLIENT_SECRET": provider.client_secret,
            },
            "domain": {
                "CLASS": "google",
                "ACCESS": "app",
                "SERVICE_ACCOUNT": str(self.key_file),
                "TOKEN_URL": google["TOKEN_URL"],
            },
        }
        self.write()

    def write(self) -> None:
        ours = self.settings.MAIL_OAUTH
        self.settings.MAIL_OAUTH = {**ours, "PROVIDERS": {**ours["PROVIDERS"], **self.options}}

    def change(self, alias: str, *without: str, **options: Any) -> None:
        """Give an alias these options, and take others from it."""
        kept = {name: value for name, value in self.options[alias].items() if name not in without}
        self.options[alias] = {**kept, **options}
        self.write()

    def certificate(self, name: str = "app.pem") -> Certificate:
        """A certificate with its key in a file."""
        return Certificate(self.directory / name)


@pytest.fixture
def site(provider: FakeProvider, settings: Any, tmp_path: Path) -> Iterator[Site]:
    yield Site(provider, settings, tmp_path)
    provider.forget_apps()
    for (
        file
    ) in tmp_path.iterdir():  # a platform keeps its token in clear, and so does a key: that is no leak of ours
        file.unlink()


@pytest.fixture
def add(db: None, site: Site) -> Callable[..., Any]:
    """`add(alias, *addresses)`: mailboxes of that alias, whose accounts exist; one, or a list of them."""

    def make(alias: str, *addresses: str) -> Any:
        for each in addresses:
            site.provider.add_account(each)
        add_mailboxes(alias, addresses)
        rows = {row.email: row for row in MailCredentials.objects.filter(provider=alias)}
        found = [rows[each] for each in addresses]
        return found[0] if len(found) == 1 else found

    return make


@pytest.fixture
def asked(provider: FakeProvider) -> Callable[[], list[str | None]]:
    """What the provider answered to each token request so far: an error, or None."""
    provider.clear_calls()
    return lambda: [call.error for call in provider.token_calls()]
