"""`check --deploy --database default` asks the database how safe what it reports as committed is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.db import connection, connections

from mail_oauth.checks import storage
from tests.aside import close_aside, open_aside
from tests.checks.conftest import numbers
from tests.services import Postgres
from tests.services.programs import MissingProgram, skip_or_fail
from tests.settings import database

RIGHT = {"transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL", "timeout": 20}


@pytest.fixture
def aside(settings: Any, django_db_blocker: Any) -> Iterator[Any]:
    """What is found of a database of the test's own, on which the truth lies."""
    settings.DATABASE_ROUTERS = ["tests.routers.Aside"]

    def look(config: dict[str, Any] | None = None) -> list[CheckMessage]:
        if config is not None:
            open_aside(config)
        return list(storage.durability(["aside"]))

    with django_db_blocker.unblock():
        yield look
        close_aside()


@pytest.fixture
def of_file(aside: Any, tmp_path: Path) -> Any:
    """What is found of an SQLite in a file with these options."""

    def look(**options: Any) -> list[CheckMessage]:
        config = {"ENGINE": "django.db.backends.sqlite3", "NAME": tmp_path / "db.sqlite3", "OPTIONS": options}
        return list(aside(config))

    return look


class TestSQLite:
    def test_is_right_with_the_options_that_are_advised(self, of_file):
        assert numbers(of_file(**RIGHT)) == []

    def test_as_it_is_by_default_tells_one_of_two_writers_that_it_is_locked(self, of_file):
        [message] = of_file()
        assert numbers([message]) == ["W019"]
        assert '"transaction_mode": "IMMEDIATE"' in message.hint

    @pytest.mark.parametrize("lacking", ["transaction_mode", "init_command"])
    def test_needs_both(self, of_file, lacking):
        assert numbers(of_file(**{name: value for name, value in RIGHT.items() if name != lacking})) == ["W019"]

    def test_that_does_not_wait_for_the_disk(self, of_file):
        messages = of_file(**RIGHT | {"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF"})
        assert numbers(messages) == ["W020"]
        assert "PRAGMA synchronous is 0" in messages[0].msg


@pytest.mark.django_db
class TestTheSuitesDatabase:
    """It is configured for speed, except SQLite: what a crash may lose is of no worth there."""

    def look(self, **options: Any) -> list[CheckMessage]:
        return run_checks(include_deployment_checks=True, **options)

    def test_is_asked_only_if_it_is_named(self, django_assert_num_queries):
        with django_assert_num_queries(0):
            assert not {"W019", "W020"} & set(numbers(self.look()))
            assert not {"W019", "W020"} & set(numbers(self.look(tags=["mail_oauth"])))
            assert list(storage.durability(["another"])) == []

    def test_loses_commits_where_it_is_told_to(self):
        expected = {
            "postgresql": {"synchronous_commit is off", "fsync is off"},
            "mysql": {"innodb_flush_log_at_trx_commit is 0"},
            "sqlite": set(),
        }[connection.vendor]
        found = [message.msg for message in self.look(databases=["default"]) if message.id == "mail_oauth.W020"]
        assert {text.partition(" in the database")[0] for text in found} == expected


class Safe(Postgres):
    """As PostgreSQL is by default, which the suite's own is not."""

    def command(self) -> list[str]:
        parts = super().command()
        fast = {place for place, part in enumerate(parts) if part.endswith("=off")}
        return [part for place, part in enumerate(parts) if not {place, place + 1} & fast]


@pytest.mark.postgres
def test_a_postgresql_as_it_is_by_default_is_right(aside):
    try:
        server = Safe()
    except MissingProgram as missing:
        skip_or_fail(str(missing))
    with server:
        assert numbers(aside(database(server.url))) == []
        with connections["aside"].cursor() as cursor:
            cursor.execute("SET synchronous_commit = off")
        assert numbers(aside()) == ["W020"]
