from __future__ import annotations

from collections.abc import Iterator

import pytest

from mail_oauth.testing.policy import Policy
from mail_oauth.testing.provider import FakeProvider
from tests.wire import Recorded, Wire


@pytest.fixture(autouse=True)
def calm(fake_provider: FakeProvider) -> Iterator[None]:
    """No test meets a fault or a policy of another."""
    yield
    fake_provider.clear_faults()
    fake_provider.policy = Policy()


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    """A plain server that notes what it is asked."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    with Wire() as notes:
        yield notes
