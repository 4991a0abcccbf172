from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.wire import Recorded, Wire


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    """A plain server that notes what it is asked."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")
    with Wire() as notes:
        yield notes
