"""What the README shows of the doctor is what it says."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from mail_oauth import tasks
from mail_oauth.upkeep.doctor.mailhosts import BY_PROTOCOL
from tests.documentation.blocks import README, block
from tests.services import Redis
from tests.settings import redis_cache


def worn(line: str) -> str:
    """A line without its figures, the name of its database, and the width of its columns."""
    line = re.sub(r"PostgreSQL|MySQL|MariaDB|SQLite", "DATABASE", line)
    return " ".join(re.sub(r"\d+(\.\d+)*", "N", re.sub(r" \(\d+ ms\)", "", line)).split())


@pytest.fixture
def site(settings: Any, connect: Any, redis_server: Redis, provider: Any) -> Any:
    """Three mailboxes that are well, a Redis that evicts whatever it likes, and a secret that is another by now."""
    settings.SILENCED_SYSTEM_CHECKS = [  # of a provider on loopback, and of what Django says of any site
        *(f"mail_oauth.{number}" for number in ("E008", "E046", "W006", "W018", "W019", "W020")),
        *(f"security.W{number:03}" for number in range(1, 30)),
    ]
    google = settings.MAIL_OAUTH["PROVIDERS"]["google"]
    options = {**google, **dict.fromkeys(BY_PROTOCOL), "CLIENT_SECRET": "the former one"}
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROVIDERS": {"google": options}}
    with Redis() as server:
        settings.CACHES = {**settings.CACHES, "default": redis_cache(server.url)}
        with server.client() as client:
            client.config_set("maxmemory", "64mb")
            client.config_set("maxmemory-policy", "allkeys-lru")
        [connect("google") for _ in range(3)]
        tasks.refresh_due()
        tasks.reconcile_cache()
        tasks.prune_events()
        yield server


@pytest.mark.redis
@pytest.mark.django_db
def test_the_output_that_it_shows(site, monkeypatch):
    from celery import _state

    monkeypatch.setattr(_state._tls, "current_app", None)
    monkeypatch.setattr(_state, "default_app", None)
    out = io.StringIO()
    command, *shown = block(README, "console", "$ python manage.py mail_oauth doctor").splitlines()
    with pytest.raises(CommandError):
        call_command(*command.removeprefix("$ python manage.py ").split(), stdout=out, stderr=io.StringIO())
    said = [worn(line) for line in out.getvalue().splitlines()]
    place = 0
    for line in filter(None, map(worn, shown)):
        if line == "…":
            continue
        assert line in said[place:], f"{line}\nis not in what it says:\n{out.getvalue()}"
        place = said.index(line, place) + 1
