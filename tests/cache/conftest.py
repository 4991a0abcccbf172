from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone
from redis.connection import AbstractConnection

from mail_oauth.tokens import AccessToken
from tests.services import Redis


@pytest.fixture
def pk() -> UUID:
    """The primary key of some mailbox."""
    return uuid4()


@pytest.fixture
def token() -> Callable[..., AccessToken]:
    """Make an access token: `token(generation=1, seconds=3600, value="…")`; those of a test were issued in one second."""
    now = timezone.now().replace(microsecond=0)

    def make(generation: int = 1, seconds: float = 3600, value: str = "a-token-in-clear") -> AccessToken:
        return AccessToken(
            value, issued_at=now, expires_at=now + timedelta(seconds=seconds), generation=generation
        )

    return make


@pytest.fixture
def calm_redis(redis_cache: Redis) -> Iterator[Redis]:
    """A Redis whose settings a test may change; it is a new one for the next."""
    yield redis_cache
    redis_cache.stop()


@pytest.fixture
def sendings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one whenever something is sent to a Redis."""
    sent: list[int] = []
    send = AbstractConnection.send_packed_command

    def counted(self: AbstractConnection, *args: Any, **kwargs: Any) -> None:
        sent.append(1)
        send(self, *args, **kwargs)

    monkeypatch.setattr(AbstractConnection, "send_packed_command", counted)
    return sent
