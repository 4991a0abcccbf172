"""Sites with a policy, and what a provider was asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_django import Settings

    from mail_oauth.testing.provider import FakeProvider


@pytest.fixture
def site(provider: FakeProvider, settings: Settings) -> Callable[..., None]:
    """Give the site a policy, providers options of their own, and other settings.

    `site("recently_used", google={"REFRESH_POLICY": "always"}, KEEP_ALIVE_DAYS=10)`.
    """

    def configure(policy: str, **more: Any) -> None:
        known = settings.MAIL_OAUTH["PROVIDERS"]
        options = {alias: more.pop(alias) for alias in list(more) if alias in known}
        providers = {alias: {**known[alias], **options.get(alias, {})} for alias in known}
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROVIDERS": providers, "REFRESH_POLICY": policy, **more}

    return configure
