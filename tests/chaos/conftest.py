from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mail_oauth.models import MailCredentials, ProviderFault, ProviderHealth
from mail_oauth.testing.provider import FakeProvider
from tests.chaos.rig import FULL, SEED, Rig, report
from tests.services import Postgres, Redis


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies here; a conftest.py is asked about every test of the run."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker("chaos")
            item.add_marker("worker")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if report:
        terminalreporter.section(f"chaos, MAIL_OAUTH_CHAOS_SEED={SEED}")
        for line in report:
            terminalreporter.write_line(line)


@pytest.fixture(scope="package")
def providers() -> Iterator[tuple[FakeProvider, FakeProvider]]:
    """One that rotates and detects reuse, one that lets old refresh tokens live, as Microsoft does."""
    with FakeProvider() as strict, FakeProvider(rotate=False, detect_reuse=False) as lenient:
        yield strict, lenient


@contextmanager
def made(name: str, url: str, factory: Any, blocker: Any, providers: Any) -> Iterator[Rig]:
    with blocker.unblock():
        rig = Rig(name, factory.mktemp(name), *providers, url)
    yield rig
    rig.forget()
    with blocker.unblock():
        rig.remove()


@pytest.fixture(scope="package")
def on_sqlite(
    django_db_setup: None, django_db_blocker: Any, tmp_path_factory: Any, providers: Any
) -> Iterator[Rig]:
    path = tmp_path_factory.mktemp("chaos") / "db.sqlite3"
    with made("chaos_sqlite", f"sqlite:///{path}", tmp_path_factory, django_db_blocker, providers) as rig:
        yield rig


@pytest.fixture(scope="package")
def on_postgres(
    django_db_setup: None,
    django_db_blocker: Any,
    tmp_path_factory: Any,
    providers: Any,
    postgres_server: Postgres,
) -> Iterator[Rig]:
    import psycopg

    postgres_server.start()
    with psycopg.connect(postgres_server.url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS chaos")
        connection.execute("CREATE DATABASE chaos")
    # A commit that was reported shall outlive a crash of the server: fsync, which stays off, does nothing for that.
    url = postgres_server.url.replace("/postgres", "/chaos?options=-c%20synchronous_commit%3Don")
    with made("chaos_postgres", url, tmp_path_factory, django_db_blocker, providers) as rig:
        rig.postgres = postgres_server
        yield rig


@pytest.fixture
def redis(redis_server: Redis) -> Redis:
    redis_server.start()
    redis_server.flush()
    return redis_server


BACKENDS = [
    pytest.param(("on_sqlite", False), id="sqlite"),
    pytest.param(("on_postgres", True), id="postgres-redis", marks=[pytest.mark.postgres, pytest.mark.redis]),
]
if FULL:
    BACKENDS += [
        pytest.param(("on_sqlite", True), id="sqlite-redis", marks=pytest.mark.redis),
        pytest.param(("on_postgres", False), id="postgres", marks=pytest.mark.postgres),
    ]
SERVERS = BACKENDS if FULL else BACKENDS[1:]
"""For what differs little between databases: in the small version on servers only."""


@pytest.fixture(params=BACKENDS)
def rig(request: pytest.FixtureRequest, django_db_blocker: Any) -> Iterator[Rig]:
    """An empty database; `rig.redis` is a Redis where there is one."""
    name, with_redis = request.param
    rig: Rig = request.getfixturevalue(name)
    rig.redis = request.getfixturevalue("redis") if with_redis else None
    with django_db_blocker.unblock():
        for table in (MailCredentials, ProviderHealth, ProviderFault):
            table.objects.using(rig.alias).all().delete()
        for provider in rig.providers.values():
            provider.clear_calls()
            provider.clear_faults()
        yield rig
        for provider in rig.providers.values():
            provider.clear_faults()
        rig.forget()
