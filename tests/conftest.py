from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
from django.core.cache import cache, caches
from django.core.cache.backends.locmem import LocMemCache
from django.test import TransactionTestCase
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from mail_oauth.testing.configuring import forget
from mail_oauth.testing.provider import FakeProvider
from tests.services import Dovecot, MariaDB, Postgres, Redis, RedisCluster, Server, require
from tests.services.programs import MissingProgram, skip_or_fail
from tests.settings import redis_cache as redis_cache_settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page
    from pytest_django import Settings

pytest_plugins = [
    "mail_oauth.testing.plugin",
    "tests.concurrency",
    "tests.mailboxes",
    "tests.surfing",
    "tests.canary.plugin",
    "tests.moving.fixtures",
]

# How fast a busy machine makes up inputs is no finding. `make test` and `make fuzz` make up more of them, by
# --hypothesis-profile.
hypothesis_settings.register_profile(
    "plain", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=25
)
hypothesis_settings.load_profile("plain")
hypothesis_settings.register_profile("whole", max_examples=100)
hypothesis_settings.register_profile("fuzz", max_examples=1000)

ServerT = TypeVar("ServerT", bound=Server | RedisCluster)

# What a fixture says about the tests that use it.
MARKS_BY_FIXTURE = {
    "db": "database",
    "transactional_db": "database",
    "django_db_reset_sequences": "database",
    "django_db_serialized_rollback": "database",
    "live_server": "database",
    "redis_server": "redis",
    "redis_cluster": "redis",
    "postgres_server": "postgres",
    "mariadb_server": "mariadb",
    "dovecot_server": "dovecot",
    "chromium": "browser",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by the parts it uses, before `-m` selects."""
    for item in items:
        for fixture in getattr(item, "fixturenames", ()):
            if mark := MARKS_BY_FIXTURE.get(fixture):
                item.add_marker(mark)
        test_class = getattr(item, "cls", None)
        django_db = item.get_closest_marker("django_db")
        if django_db or (test_class and issubclass(test_class, TransactionTestCase)):
            item.add_marker("database")
        if "transactional_db" in getattr(item, "fixturenames", ()) or (
            django_db and django_db.kwargs.get("transaction")
        ):
            item.add_marker("commits")


def started(server: Callable[[], ServerT]) -> Iterator[ServerT]:
    """A running server, or a skip (a failure, where services are required)."""
    try:
        made = server()
    except MissingProgram as missing:
        skip_or_fail(str(missing))
        raise
    with made as running:
        yield running


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """A Redis of the suite's own. A test may stop or kill it: `redis_cache` starts it again."""
    yield from started(Redis)


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[RedisCluster]:
    """Three Redis that are a cluster."""
    yield from started(RedisCluster)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    yield from started(Postgres)


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDB]:
    yield from started(MariaDB)


@pytest.fixture(scope="session")
def dovecot_server(fake_provider_server: FakeProvider) -> Iterator[Dovecot]:
    """A Dovecot that asks the fake provider of the whole run; tests use `dovecot`."""
    yield from started(partial(Dovecot, fake_provider_server))


@pytest.fixture
def dovecot(dovecot_server: Dovecot) -> Dovecot:
    """A running Dovecot without a mailbox, which takes Microsoft's tokens."""
    dovecot_server.start()
    dovecot_server.trust("microsoft")
    dovecot_server.clear()
    return dovecot_server


@pytest.fixture
def redis_cache(redis_server: Redis, settings: Settings) -> Iterator[Redis]:
    """The default cache is django-redis on an empty, running Redis, which this returns."""
    redis_server.start()
    redis_server.flush()
    settings.CACHES = {**settings.CACHES, "default": redis_cache_settings(redis_server.url)}
    yield redis_server
    cache.client.get_client().connection_pool.disconnect()


@pytest.fixture
def locmem_cache(settings: Settings) -> Iterator[None]:
    """The default cache is this process's own memory, empty."""
    locmem = "django.core.cache.backends.locmem.LocMemCache"
    settings.CACHES = {**settings.CACHES, "default": {"BACKEND": locmem, "LOCATION": "locmem_cache"}}
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def file_cache(settings: Settings, tmp_path: Path) -> None:
    """The default cache is an empty directory."""
    backend = "django.core.cache.backends.filebased.FileBasedCache"
    settings.CACHES = {**settings.CACHES, "default": {"BACKEND": backend, "LOCATION": tmp_path / "cache"}}


@pytest.fixture
def db_cache(db: None, settings: Settings) -> None:
    """The default cache is a table of the test database."""
    settings.CACHES = {**settings.CACHES, "default": settings.CACHES["db"]}
    cache.clear()


CACHES = [
    pytest.param("locmem_cache", id="locmem"),
    pytest.param("file_cache", id="file"),
    pytest.param("db_cache", id="db", marks=pytest.mark.django_db),
    pytest.param("redis_cache", id="redis", marks=pytest.mark.redis),
]


@pytest.fixture(params=CACHES)
def any_cache(request: pytest.FixtureRequest) -> str:
    """Run the test once on each kind of cache, as the default one; the kind."""
    request.getfixturevalue(request.param)
    return str(request.node.callspec.id)


@pytest.fixture(autouse=True, scope="session")
def no_marks_at_odd_moments() -> Iterator[None]:
    """Uses are marked when a test has them marked, not whenever some seconds are over."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("mail_oauth.usage.WRITE_SECONDS", 3600)
        yield


@pytest.fixture(autouse=True)
def empty_memory_cache() -> Iterator[None]:
    """No test meets what another left in this process's memory, or a thread of it."""
    yield
    forget()
    if isinstance(caches["default"], LocMemCache):
        cache.clear()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Chromium."""
    return require("chromium", "chromium-browser", "google-chrome")


@pytest.fixture
def browser(chromium: str, transactional_db: None) -> Iterator[Browser]:
    """A running headless Chromium, one for each test, on committed rows (tests.services.chromium says why)."""
    from tests.services.chromium import chromium_browser

    with chromium_browser(chromium) as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab without history; whatever the page's scripts throw fails the test."""
    context = browser.new_context()
    tab = context.new_page()
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    yield tab
    context.close()
    assert not errors, f"the page's scripts failed: {errors}"
