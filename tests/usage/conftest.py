from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.core.cache import cache

from mail_oauth.models import MailCredentials
from mail_oauth.usage import Uses
from tests.conftest import CACHES


@pytest.fixture
def uses(monkeypatch: pytest.MonkeyPatch) -> Iterator[Uses]:
    """What this process has noted: nothing yet, and it is written when `uses.finish()` is called."""
    made = Uses()
    monkeypatch.setattr("mail_oauth.managers.access.uses", made)
    yield made
    made.clear()
    made.finish()


@pytest.fixture(params=[param for param in CACHES if param.id != "db"])
def threads_cache(request: pytest.FixtureRequest) -> str:
    """`any_cache`, but for a table: a thread has its own connection, and a test's transaction is not committed."""
    request.getfixturevalue(request.param)
    return str(request.node.callspec.id)


@pytest.fixture
def mark_of() -> Callable[[MailCredentials], bytes | None]:
    """What the shared cache holds of a mailbox's last use."""

    def read(mailbox: MailCredentials) -> bytes | None:
        key = f"mail_oauth:used:{mailbox.pk}"
        if hasattr(cache, "client"):
            found: bytes | None = cache.client.get_client().get(cache.make_key(key))
            return found
        kept: bytes | None = cache.get(key)
        return kept

    return read
