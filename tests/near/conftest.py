from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from mail_oauth import near as near_module
from mail_oauth.near import NearCopies, near_copies
from mail_oauth.tokens import AccessToken
from tests.losses.passing import pass_time

if TYPE_CHECKING:
    from pytest_django import Settings


@pytest.fixture
def near(settings: Settings) -> NearCopies:
    """The near copies of this process, empty and switched on: copies live for a minute, longer than any test."""
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "NEAR_CACHE_SECONDS": 60}
    near_copies.clear()
    return near_copies


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets so many seconds pass, for near copies and for all that is stored."""

    def pass_seconds(seconds: float) -> None:
        clock = SimpleNamespace(monotonic=lambda: time.monotonic() + seconds)
        monkeypatch.setattr(near_module, "time", clock)
        pass_time(timedelta(seconds=seconds))

    return pass_seconds


@pytest.fixture
def token() -> Callable[..., AccessToken]:
    """Make an access token: `token(generation=1, value="…")`."""

    def make(generation: int = 1, value: str = "a-token-in-clear") -> AccessToken:
        now = timezone.now()
        return AccessToken(value, issued_at=now, expires_at=now + timedelta(hours=1), generation=generation)

    return make


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Callable[[], AbstractContextManager[None]]:
    """In `with elsewhere():` everything happens as in another process, which has near copies of its own."""

    @contextmanager
    def other_process() -> Iterator[None]:
        with monkeypatch.context() as patched:
            others = NearCopies()
            patched.setattr("mail_oauth.cache.near_copies", others)
            patched.setattr("mail_oauth.managers.access.near_copies", others)
            yield

    return other_process
