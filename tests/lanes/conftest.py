from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from mail_oauth import signals
from mail_oauth.models import MailCredentials


@pytest.fixture
def alerts() -> Iterator[list[str]]:
    """What the operator was told: `held` and `released` lanes by name, and `status` changes of mailboxes."""
    told: list[str] = []

    def held(health: Any, **_: Any) -> None:
        told.append(f"held {health.provider}/{health.tenant} {health.trouble}")

    def released(health: Any, **_: Any) -> None:
        told.append(f"released {health.provider}/{health.tenant} {health.trouble}")

    signals.lane_held.connect(held)
    signals.lane_released.connect(released)
    yield told
    signals.lane_held.disconnect(held)
    signals.lane_released.disconnect(released)


@pytest.fixture
def told() -> Iterator[list[str]]:
    """Which statuses users were told of."""
    statuses: list[str] = []

    def changed(new_status: str, **_: Any) -> None:
        statuses.append(new_status)

    signals.mailbox_status_changed.connect(changed)
    yield statuses
    signals.mailbox_status_changed.disconnect(changed)


@pytest.fixture
def tenants(connect: Callable[..., MailCredentials]) -> Callable[..., list[MailCredentials]]:
    """`tenants(a=3, b=1)`: so many mailboxes of organisations called so, all due."""

    def make(alias: str = "microsoft", **numbers: int) -> list[MailCredentials]:
        earlier = timezone.now() - timedelta(hours=1)
        return [
            connect(alias, seconds_left=-10, tenant=tenant, last_refreshed_at=earlier)
            for tenant, number in numbers.items()
            for _ in range(number)
        ]

    return make
