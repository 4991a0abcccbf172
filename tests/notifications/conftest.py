from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import django
import pytest

from mail_oauth.models import MailCredentials
from mail_oauth.notices.run import NoticeReport, send_notices
from mail_oauth.testing.faults import Fault
from tests.losses.passing import pass_time, sweep

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from pytest_django import Settings

REFUSED = Fault.oauth_error("invalid_grant", aadsts=50173)
BLOCKED = Fault.oauth_error("invalid_grant", aadsts=53003)
MEMORY = "django.core.mail.backends.locmem.EmailBackend"
AFTER = timedelta(minutes=11)
"""A little longer than `NOTIFY_AFTER`."""


@pytest.fixture
def notify(provider: Any, settings: Settings, mail_by: Callable[..., None]) -> Callable[..., None]:
    """Switch notices on: `notify("users", NOTIFY_RECOVERY=False)`."""

    def switch(whom: str = "users", **others: Any) -> None:
        on = {"NOTIFY": whom, "BASE_URL": "http://testserver", **others}
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, **on}

    settings.ADMINS = []
    mail_by()
    switch()
    return switch


@pytest.fixture
def mail_by(settings: Settings) -> Callable[..., None]:
    """Have the site's mail go by a backend: `mail_by("….EmailBackend", host="127.0.0.1", port=25)`; by default, to memory."""

    def choose(path: str = MEMORY, **options: Any) -> None:
        if django.VERSION >= (6, 1):
            settings.MAILERS = {"default": {"BACKEND": path, "OPTIONS": options}}
            return
        settings.EMAIL_BACKEND = path
        for name, value in options.items():
            setattr(settings, f"EMAIL_{name.upper()}", value)

    return choose


@pytest.fixture
def owner(user: User) -> User:
    """`user`, who can be mailed."""
    user.email = "ada@home.example"
    user.save()
    return user


@pytest.fixture
def fall(provider: Any) -> Callable[..., None]:
    """Have the provider refuse mailboxes: `fall(row, fault=BLOCKED)`."""

    def make(*rows: MailCredentials, fault: Fault = REFUSED) -> None:
        for row in rows:
            MailCredentials.objects.filter(pk=row.pk).update(refresh_at=row.connected_at)
            provider.fail_next(1, fault, email=row.email)
        sweep()

    return make


@pytest.fixture
def later() -> Callable[..., NoticeReport]:
    """Let time pass, and send what is due then."""

    def go(by: timedelta = AFTER) -> NoticeReport:
        pass_time(by)
        return send_notices()

    return go
