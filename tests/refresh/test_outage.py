"""A PostgreSQL that ends between the provider's reply and the commit costs nobody a grant."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mail_oauth.testing.configuring import provider_settings
from tests.concurrency import meanwhile
from tests.services import Postgres, Redis


@pytest.fixture
def process(fake_provider_server, postgres_server: Postgres, redis_server: Redis) -> Iterator[Callable[..., str]]:
    """Run a step in a process of its own, on a database of its own; what it printed."""
    postgres_server.start()
    redis_server.start()
    import psycopg

    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS outage")
        connection.execute("CREATE DATABASE outage")
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "DATABASE_URL": postgres_server.url.replace("/postgres", "/outage"),
        "REDIS_URL": redis_server.url,
        "MAIL_OAUTH": json.dumps(provider_settings(fake_provider_server)),
        "OAUTHLIB_INSECURE_TRANSPORT": "1",
    }

    def run(*arguments: Any) -> str:
        command = [sys.executable, "-m", "tests.refresh.outage", *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    yield run
    postgres_server.start()


@pytest.mark.slow
def test_the_pair_is_parked_and_adopted(process, fake_provider_server, postgres_server):
    email = "outage@example.com"
    fake_provider_server.add_account(email)
    scopes = "openid email offline_access mail"
    granted = fake_provider_server.grant(email, personality="oidc", scope=scopes)["refresh_token"]
    key = process("make", "keycloak", email, granted)
    fake_provider_server.fail_next(1, meanwhile(postgres_server.kill))

    assert process("ask", key) == "OperationalError"
    calls = fake_provider_server.token_calls("refresh_token", email=email)
    assert [call.status for call in calls] == [200], "the provider has replaced the refresh token"

    postgres_server.start()
    token = process("ask", key)
    assert len(token) > 20
    assert len(fake_provider_server.token_calls("refresh_token", email=email)) == 1, "and was not asked again"
    assert process("ask", key) == token
    assert fake_provider_server.is_current_refresh_token(fake_provider_server.newest_refresh_token(email, "oidc"))
