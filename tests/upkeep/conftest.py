"""Mailboxes that are due, and caches to reconcile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mail_oauth.models import MailCredentials
from mail_oauth.testing.provider import FakeProvider


@pytest.fixture
def due(provider: FakeProvider, connect: Callable[..., MailCredentials]) -> Callable[[int], list[MailCredentials]]:
    """Makes so many mailboxes that are due; the provider has heard nothing yet."""

    def make(number: int, **columns: Any) -> list[MailCredentials]:
        rows = [connect(seconds_left=60, **columns) for _ in range(number)]
        provider.clear_calls()
        return rows

    return make


@pytest.fixture(params=["locmem_cache", pytest.param("redis_cache", marks=pytest.mark.redis)])
def shared_cache(request: pytest.FixtureRequest) -> str:
    """Run the test on Django's own kind of cache and on a real Redis."""
    request.getfixturevalue(request.param)
    return str(request.param)
