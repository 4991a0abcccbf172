"""The example project's pages, over the fake provider and its mail servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mail_oauth.testing.mailservers import MailServers
from mail_oauth.testing.provider import FakeProvider


@pytest.fixture
def mail(provider: FakeProvider, settings: Any, tmp_path: Path) -> Iterator[MailServers]:
    """Empty mailboxes at every provider of the settings."""
    pytest.importorskip("aiosmtpd", reason="aiosmtpd is not installed")
    with MailServers(provider, ca_file=tmp_path / "authority.pem") as running:
        settings.MAIL_OAUTH = running.settings(settings.MAIL_OAUTH)
        yield running


@pytest.fixture
def site(settings: Any, db: None) -> None:
    """The example's URLs and templates in the place of the suite's own."""
    settings.INSTALLED_APPS = ["example_project", *settings.INSTALLED_APPS]
    settings.ROOT_URLCONF = "example_project.urls"
    settings.LOGIN_URL = "login"
    settings.TEMPLATES = [dict(settings.TEMPLATES[0])]  # so that templates are looked for anew
