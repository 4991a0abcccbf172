from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mail_oauth import signals
from mail_oauth.models import MailCredentials
from mail_oauth.testing.provider import FakeProvider


@pytest.fixture
def mailbox(connect: Callable[..., MailCredentials], provider: FakeProvider) -> MailCredentials:
    """Expired, at a provider that rotates refresh tokens and ends a grant whose old one is used again."""
    assert provider.policy.rotate
    assert provider.policy.detect_reuse
    return connect("keycloak", seconds_left=-10)


@pytest.fixture
def heard() -> Iterator[list[tuple[str, Any]]]:
    """The signals that were sent, by name, with the reason."""
    received: list[tuple[str, Any]] = []
    receivers = {}
    for name in ("mailbox_connected", "mailbox_disconnected", "token_refreshed", "mailbox_status_changed"):

        def receive(name: str = name, **about: Any) -> None:
            received.append((name, about.get("new_status", about["reason"])))

        receivers[name] = receive
        getattr(signals, name).connect(receive, weak=False)
    yield received
    for name, receive in receivers.items():
        getattr(signals, name).disconnect(receive)
