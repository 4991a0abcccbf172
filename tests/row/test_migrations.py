"""Migrations go both ways, and say all that the models say."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection

from mail_oauth.migrations import _operations
from mail_oauth.models import MailCredentials


@pytest.mark.django_db(transaction=True)
def test_every_migration_is_reversible():
    try:
        call_command("migrate", "mail_oauth", "zero", verbosity=0)
        assert MailCredentials._meta.db_table not in connection.introspection.table_names()
    finally:
        call_command("migrate", "mail_oauth", verbosity=0)
    assert MailCredentials.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_a_keys_own_index_goes_and_comes_while_its_constraint_stays():
    """A constraint that is dropped and added again has every row of a live table looked at, under a lock."""
    try:
        call_command("migrate", "mail_oauth", "0005", verbosity=0)
        doubled, constraints = own_indexes(), keys()
        assert len(doubled) == (0 if connection.vendor == "mysql" else 2), "InnoDB has dropped its own by itself"
        call_command("migrate", "mail_oauth", "0006", verbosity=0)
        assert own_indexes() == set()
        assert keys() == constraints
        call_command("migrate", "mail_oauth", "0005", verbosity=0)
        assert own_indexes() == doubled
        assert keys() == constraints
    finally:
        call_command("migrate", "mail_oauth", verbosity=0)
    assert own_indexes() == set()


KEYS = {"mail_oauth_mailcredentials": "user_id", "mail_oauth_credentialevent": "credentials_id"}


def constraints_on_keys() -> list[tuple[str, dict[str, Any]]]:
    with connection.cursor() as cursor:
        return [
            (name, found)
            for table, column in KEYS.items()
            for name, found in connection.introspection.get_constraints(cursor, table).items()
            if found["columns"] == [column]
        ]


def own_indexes() -> set[str]:
    return {name for name, found in constraints_on_keys() if found["index"]}


def keys() -> set[tuple[str, int]]:
    """The constraints of the keys; on PostgreSQL with their ids, which a new one would not have."""
    names = {name for name, found in constraints_on_keys() if found["foreign_key"]}
    assert len(names) == 2 or connection.vendor == "sqlite"
    if connection.vendor != "postgresql":
        return {(name, 0) for name in names}
    with connection.cursor() as cursor:
        cursor.execute("SELECT conname, oid FROM pg_constraint WHERE conname = ANY(%s)", [list(names)])
        return set(cursor.fetchall())


@pytest.fixture
def on_postgresql(transactional_db):
    if connection.vendor != "postgresql":
        pytest.skip("others have neither: python -m tests.services postgres -- pytest tests/row")
    yield
    call_command("migrate", "mail_oauth", verbosity=0)


def test_a_long_transaction_of_the_site_has_a_migration_give_up_rather_than_everybody_wait(
    on_postgresql, monkeypatch
):
    monkeypatch.setattr(_operations, "LOCK_SECONDS", 0.05)
    call_command("migrate", "mail_oauth", "0006", verbosity=0)
    another = connection.copy()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '7min'")
        another.set_autocommit(False)
        with another.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM mail_oauth_mailcredentials")
        with pytest.raises(OperationalError, match=r"Run `manage\.py migrate` again"):
            call_command("migrate", "mail_oauth", "0005", verbosity=0)
        assert not own_indexes()
        another.close()
        call_command("migrate", "mail_oauth", "0005", verbosity=0)
        assert len(own_indexes()) == 2
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            assert cursor.fetchone() == ("7min",), "the site's own is as it was"
    finally:
        another.close()
        connection.close()


def test_what_sqlmigrate_prints_gives_up_as_well(on_postgresql):
    out = io.StringIO()
    call_command("sqlmigrate", "mail_oauth", "0006", stdout=out)
    statements = [line for line in out.getvalue().splitlines() if line and not line.startswith("--")]
    [place] = [place for place, line in enumerate(statements) if "SET STORAGE" in line]
    assert statements[place - 2 : place] == ["BEGIN;", "SET LOCAL lock_timeout = '5000ms';"]
    assert statements[place + 1] == "COMMIT;"


@pytest.mark.parametrize(("came_from", "goes_to"), [("0006", "0005"), ("0002", "0003")])
def test_an_index_that_an_interrupted_run_left_unfinished_is_made_again(on_postgresql, came_from, goes_to):
    call_command("migrate", "mail_oauth", goes_to, verbosity=0)
    whole = indexes()
    call_command("migrate", "mail_oauth", came_from, verbosity=0)
    made = set(whole) - set(indexes())
    assert made
    with connection.cursor() as cursor:
        for name in made:
            cursor.execute(whole[name])
            cursor.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", [name])
    call_command("migrate", "mail_oauth", goes_to, verbosity=0)
    assert indexes() == whole


def indexes() -> dict[str, str]:
    """The definitions of what PostgreSQL's queries are served by, by name."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname, pg_get_indexdef(indexrelid) FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
            "WHERE indisvalid AND relname LIKE 'mail_oauth%'"
        )
        return dict(cursor.fetchall())


@pytest.mark.django_db
def test_postgresql_does_not_try_to_compress_tokens():
    if connection.vendor != "postgresql":
        pytest.skip("others compress nothing: python -m tests.services postgres -- pytest tests/row")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'mail_oauth_mailcredentials'::regclass "
            "AND attstorage = 'e' ORDER BY attname"
        )
        assert [name for (name,) in cursor.fetchall()] == ["access_token", "refresh_token"]


@pytest.mark.django_db
def test_no_migration_is_missing():
    call_command("makemigrations", "mail_oauth", check=True, dry_run=True, verbosity=0)
