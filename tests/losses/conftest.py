from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.chaos.rig import Rig
from tests.refresh.conftest import heard, mailbox

__all__ = ["heard", "mailbox"]


@pytest.fixture
def hosts(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: Any, fake_provider_server: Any
) -> Iterator[Rig]:
    """Processes that share a database (a file) and nothing else: each has a cache of its own."""
    folder = tmp_path_factory.mktemp("hosts")
    with django_db_blocker.unblock():
        rig = Rig(
            "hosts", folder, fake_provider_server, fake_provider_server, f"sqlite:///{folder / 'db.sqlite3'}"
        )
        yield rig
        rig.forget()
        rig.remove()
    fake_provider_server.clear_faults()
