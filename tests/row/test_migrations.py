"""Migrations go both ways, and say all that the models say."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django import VERSION
from django.core.management import call_command
from django.db import OperationalError, connection

from mail_oauth.constraints import UniqueWherePresent
from mail_oauth.managers.vocabulary import Access
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


@pytest.mark.django_db(transaction=True)
def test_backwards_only_mailboxes_without_a_user_go_and_no_constraint_is_made_anew(django_user_model):
    user = django_user_model.objects.create_user("ada")
    kept = MailCredentials.objects.create(user=user, provider="google", email="ada@example.com")
    added = MailCredentials.objects.create(
        provider="work", email="bob@example.com", access=Access.OWN, app_key="of bob"
    )
    added.events.create(kind="connected")
    constraints = keys()
    try:
        call_command("migrate", "mail_oauth", "0008", verbosity=0)
        with connection.cursor() as cursor:
            cursor.execute("SELECT email, user_id FROM mail_oauth_mailcredentials")
            assert list(cursor.fetchall()) == [("ada@example.com", user.pk)]
        assert keys() == constraints
    finally:
        call_command("migrate", "mail_oauth", verbosity=0)
    assert keys() == constraints
    row = MailCredentials.objects.get()
    assert (row.pk, row.access, row.app_key) == (kept.pk, "user", None)


@pytest.mark.django_db
def test_what_an_older_release_writes_is_a_users(django_user_model):
    """It knows none of the new columns: the database fills them in."""
    user = django_user_model.objects.create_user("ada")
    row = MailCredentials.objects.create(user=user, provider="google", email="ada@example.com")
    names = [
        field.column for field in MailCredentials._meta.concrete_fields if field.name not in {"access", "app_key"}
    ]
    columns = ", ".join(connection.ops.quote_name(name) for name in names)
    values = columns.replace(connection.ops.quote_name("email"), "'bob@example.com'")
    values = values.replace(connection.ops.quote_name("id"), "%s", 1)
    another = MailCredentials(user=user)
    pk = MailCredentials._meta.pk.get_db_prep_value(another.pk, connection)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO mail_oauth_mailcredentials ({columns}) SELECT {values} FROM mail_oauth_mailcredentials",
            [pk],
        )
    found = MailCredentials.objects.exclude(pk=row.pk).get()
    assert (found.access, found.app_key, found.is_app_only) == (Access.USER, None, False)


@pytest.mark.django_db
def test_the_index_of_mailboxes_without_a_user_has_no_others_where_that_is_possible():
    if not connection.features.supports_partial_indexes:
        pytest.skip("MariaDB has no partial index: python -m tests.services postgres -- pytest tests/row")
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, MailCredentials._meta.db_table)
        assert found["mail_oauth_one_row_per_app_key"]["unique"]
        if connection.vendor == "postgresql":
            assert " WHERE (app_key IS NOT NULL)" in indexes()["mail_oauth_one_row_per_app_key"]


@pytest.mark.parametrize("name", ["postgresql", "mysql"])
def test_no_check_complains_of_a_database_without_partial_indexes(name):
    class Features:
        supports_partial_indexes = name == "postgresql"
        supports_deferrable_unique_constraints = supports_covering_indexes = supports_expression_indexes = True
        supports_nulls_distinct_unique_constraints = True

    class Database:
        features, vendor, display_name = Features, name, name

    constraint = UniqueWherePresent(field="app_key", name="x")
    check = getattr(constraint, "check", None) if VERSION >= (6, 0) else constraint._check
    assert check(MailCredentials, Database) == []


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
