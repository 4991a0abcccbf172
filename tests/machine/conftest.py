from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from mail_oauth.refresh import engine
from mail_oauth.testing.configuring import provider_settings
from tests.machine.watched import WatchedProvider
from tests.machine.world import CALLBACK, Ears, Gate, World


@pytest.fixture(scope="session")
def watched() -> Iterator[tuple[WatchedProvider, WatchedProvider]]:
    """One provider that rotates and detects reuse, one that lets old refresh tokens live."""
    with WatchedProvider() as strict, WatchedProvider(rotate=False, detect_reuse=False) as lenient:
        yield strict, lenient


@pytest.fixture
def world(
    watched: tuple[WatchedProvider, WatchedProvider],
    transactional_db: None,
    settings: Any,
    monkeypatch: Any,
    caplog: Any,
) -> Iterator[World]:
    """The app beside both providers, without pauses between attempts or waits for others' leases.

    Transactions are real, for what follows a commit must happen. No refresh runs behind a caller: walks repeat.
    """
    strict, lenient = watched
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    monkeypatch.setattr(engine, "SAVE_PAUSES", (0,))
    configured = provider_settings(strict)
    mild = provider_settings(lenient)["PROVIDERS"]["microsoft"]
    configured["PROVIDERS"]["lenient"] = {**mild, "CLASS": "microsoft"}
    settings.MAIL_OAUTH = {**configured, "WAIT_TIMEOUT": 0, "BACKGROUND_THREADS": 0, "BASE_URL": CALLBACK}
    caplog.set_level(logging.INFO)
    gate, ears = Gate(), Ears()
    made = World(strict, lenient, gate, ears, caplog)
    with connection.execute_wrapper(gate), ears.listening():
        yield made
    made.clear()
    made.leave_keys()
