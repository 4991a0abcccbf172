"""The servers of the suite itself: what other tests take for granted of them."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import dj_database_url
import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connections
from django.db.utils import ConnectionHandler
from playwright.sync_api import Page
from pytest_django import DjangoDbBlocker
from pytest_django.live_server_helper import LiveServer

from tests.services import MariaDB, Postgres, Redis, free_port
from tests.services.__main__ import main
from tests.services.programs import MissingProgram, find_program, require


@pytest.fixture
def version_of(django_db_blocker: DjangoDbBlocker) -> Callable[[str], str]:
    """Asks a database, by its URL, what it is."""

    def ask(url: str) -> str:
        handler = ConnectionHandler({"default": dict(dj_database_url.parse(url))})
        with django_db_blocker.unblock(), handler["default"].cursor() as cursor:
            cursor.execute("SELECT version()")
            version = str(cursor.fetchone()[0])
        handler.close_all()
        return version

    return ask


class TestEachServerAnswers:
    def test_redis(self, redis_server: Redis) -> None:
        with redis_server.start().client() as client:
            assert client.ping() is True

    def test_postgres(self, postgres_server: Postgres, version_of: Callable[[str], str]) -> None:
        assert version_of(postgres_server.url).startswith("PostgreSQL")

    def test_mariadb(self, mariadb_server: MariaDB, version_of: Callable[[str], str]) -> None:
        assert "MariaDB" in version_of(mariadb_server.url)

    def test_chromium(self, page: Page) -> None:
        page.goto("data:text/html,<title>Mailboxes</title><p>none yet")
        assert page.title() == "Mailboxes"
        assert page.inner_text("p") == "none yet"


class TestRedisMayBeStoppedByATest:
    def test_a_flush_empties_it(self, redis_cache: Redis) -> None:
        cache.set("key", "value")
        redis_cache.flush()
        assert cache.get("key") is None

    def test_it_is_gone_while_stopped_and_empty_after(self, redis_cache: Redis) -> None:
        cache.set("key", "value")
        redis_cache.stop()
        with pytest.raises(Exception, match=r"refused|closed"):
            cache.get("key")
        redis_cache.start()
        assert cache.get("key") is None

    def test_a_killed_one_comes_back(self, redis_cache: Redis) -> None:
        redis_cache.kill()
        assert not redis_cache.running
        redis_cache.start()
        cache.set("key", "value")
        assert cache.get("key") == "value"

    def test_the_next_test_finds_it_running_and_empty(self, redis_cache: Redis) -> None:
        assert redis_cache.running
        assert cache.get("key") is None


def test_each_kind_of_cache_keeps_a_value(any_cache: str) -> None:
    assert cache.get("key") is None
    cache.set("key", b"\x00value", timeout=60)
    assert cache.get("key") == b"\x00value"


class TestTheBrowserLeavesTheProcessAsItWas:
    def test_the_orm_works_beside_it(self, page: Page, live_server: LiveServer) -> None:
        User.objects.create_superuser("ada", password="lovelace")
        page.goto(f"{live_server.url}/admin/")
        page.fill("[name=username]", "ada")
        page.fill("[name=password]", "lovelace")
        page.click("[type=submit]")
        assert "Site administration" in page.inner_text("#content")
        assert User.objects.get().last_login is not None

    def test_an_event_loop_can_run_after_it(self, chromium: str) -> None:
        from tests.services.chromium import chromium_browser

        with chromium_browser(chromium):
            pass
        assert asyncio.run(asyncio.sleep(0, "ran")) == "ran"
        assert "DJANGO_ALLOW_ASYNC_UNSAFE" not in os.environ


class TestAMissingProgram:
    def test_is_named(self) -> None:
        with pytest.raises(MissingProgram, match="no-such-server is not installed"):
            find_program("no-such-server")

    def test_skips_the_test(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MAIL_OAUTH_REQUIRE_SERVICES", raising=False)
        with pytest.raises(pytest.skip.Exception, match="no-such-server"):
            require("no-such-server")

    def test_fails_the_test_where_services_are_required(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MAIL_OAUTH_REQUIRE_SERVICES", "1")
        with pytest.raises(pytest.fail.Exception, match="no-such-server"):
            require("no-such-server")

    @pytest.mark.parametrize(("required", "code"), [("", 0), ("1", 1)])
    def test_keeps_a_command_from_running_beside_it(
        self, required: str, code: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        # An empty PATH does not hide /usr/sbin; a name that is nowhere does.
        monkeypatch.setattr("tests.services.redis.find_program", lambda *names: find_program("no-such-server"))
        monkeypatch.setenv("MAIL_OAUTH_REQUIRE_SERVICES", required)
        assert beside("redis", "--", sys.executable, "-c", "print('ran')") == code
        assert capfd.readouterr().out == "Not run on redis: no-such-server is not installed.\n"


def beside(*arguments: str) -> int:
    """What `python -m tests.services` does, in this process."""
    at_the_end = signal.getsignal(signal.SIGTERM)
    try:
        return main(list(arguments))
    finally:
        signal.signal(signal.SIGTERM, at_the_end)


class TestACommandBesideServers:
    def test_finds_them_by_its_environment(self, capfd: pytest.CaptureFixture[str], redis_server: Redis) -> None:
        script = "import os, redis; print(redis.Redis.from_url(os.environ['REDIS_URL']).ping())"
        assert beside("redis", "--", sys.executable, "-c", script) == 0
        assert capfd.readouterr().out == "True\n"

    def test_gives_its_exit_code(self) -> None:
        command = [sys.executable, "-m", "tests.services", "sqlite", "--", "sh", "-c", "exit 5"]
        assert subprocess.run(command, check=False).returncode == 5

    def test_refuses_unknown_servers(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert beside("oracle", "--", "true") == 2
        assert "usage:" in capsys.readouterr().err


def test_a_server_does_not_outlive_a_parent_that_is_killed(redis_server: Redis) -> None:
    script = textwrap.dedent(
        """
        import time
        from tests.services import Redis
        server = Redis().start()
        print(server.process.pid, server.directory, flush=True)
        time.sleep(600)
        """
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid, directory = parent.stdout.readline().split()
        server = Path("/proc", pid)
        assert server.exists()
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while server.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    shutil.rmtree(directory)
    assert not server.exists()


def test_ports_are_free_and_differ() -> None:
    assert len({free_port() for _ in range(20)}) > 1


@pytest.mark.django_db
def test_the_database_is_the_one_that_was_asked_for() -> None:
    asked = os.environ.get("DATABASE_URL", "sqlite:").partition(":")[0]
    assert {"postgres": "postgresql", "mysql": "mysql", "sqlite": "sqlite"}[asked] == connections["default"].vendor
