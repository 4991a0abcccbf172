"""Rows that an older release wrote are whole, and their mailboxes connected, after `migrate` to this one."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from mail_oauth.models import CredentialEvent, MailCredentials


def model_at(migration: str, name: str) -> Any:
    """A model as it was under a migration."""
    state = MigrationExecutor(connection).loader.project_state(("mail_oauth", migration))
    return state.apps.get_model("mail_oauth", name)


@pytest.fixture
def migrated_at_the_end(transactional_db):
    yield
    call_command("migrate", "mail_oauth", verbosity=0)


@pytest.mark.parametrize("migration", ["0001_initial", "0006_cheaper_writes", "0009_app_only"])
def test_rows_of_an_older_schema_are_whole_under_the_newest(migrated_at_the_end, connect, posts, user, migration):
    fresh, expired = connect(), connect("google", seconds_left=-1)
    written = {row["id"]: row for row in MailCredentials.objects.values()}
    MailCredentials.objects.all().delete()
    call_command("migrate", "mail_oauth", migration, verbosity=0)
    old = model_at(migration, "MailCredentials")
    names = {field.attname for field in old._meta.concrete_fields}
    for row in written.values():
        made = old(**{name: value for name, value in row.items() if name in names})
        made.save(force_insert=True)
        old.objects.filter(pk=made.pk).update(created_at=row["created_at"])
    model_at(migration, "CredentialEvent").objects.create(credentials_id=fresh.pk, kind="connected", generation=1)

    call_command("migrate", "mail_oauth", verbosity=0)

    found = {row["id"]: row for row in MailCredentials.objects.values()}
    assert found.keys() == written.keys()
    for pk, row in found.items():
        assert {name: row[name] for name in names} == {name: written[pk][name] for name in names}
    assert MailCredentials.objects.get(pk=fresh.pk).get_access_token().reveal()
    assert posts(fresh) == 0, "its token was readable where it lay"
    assert MailCredentials.objects.get(pk=expired.pk).get_access_token().reveal()
    assert posts(expired) == 1, "its refresh token was readable too"
    assert CredentialEvent.objects.filter(credentials=fresh.pk).count() == 1
