from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mail_oauth.testing.provider import FakeProvider
from mail_oauth.tokens import Secret
from mail_oauth.transport import TokenEndpoint
from tests.transport.certificates import Authority
from tests.wire import Recorded, Wire


@pytest.fixture(autouse=True)
def calm(fake_provider_server: FakeProvider) -> Iterator[None]:
    """No test meets a fault of another."""
    yield
    fake_provider_server.clear_faults()


@pytest.fixture
def quick(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback may be called by plain http, and patience is short."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    settings.MAIL_OAUTH = {
        "PRIVATE_HOSTS": ["127.0.0.1"],
        "CONNECT_TIMEOUT": 1,
        "READ_TIMEOUT": 1,
        "TOTAL_TIMEOUT": 1.5,
    }


@pytest.fixture
def wire(quick: None) -> Iterator[Recorded]:
    """A plain server that notes what it is asked."""
    with Wire() as notes:
        yield notes


@pytest.fixture
def endpoint(quick: None, fake_provider_server: FakeProvider) -> TokenEndpoint:
    """The token endpoint of the fake provider."""
    return TokenEndpoint(
        url=fake_provider_server.urls("plain")["token"],
        client_id=fake_provider_server.client_id,
        client_secret=Secret(fake_provider_server.client_secret),
    )


@pytest.fixture
def refresh_token(fake_provider_server: FakeProvider) -> Secret:
    """A refresh token that the fake provider takes."""
    return Secret(fake_provider_server.grant("ada@example.com", personality="plain")["refresh_token"])


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(Path(tmp_path_factory.mktemp("certificates")))
