"""Migrations go both ways, and say all that the models say."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import connection

from mail_oauth.models import MailCredentials


@pytest.mark.django_db(transaction=True)
def test_every_migration_is_reversible():
    try:
        call_command("migrate", "mail_oauth", "zero", verbosity=0)
        assert MailCredentials._meta.db_table not in connection.introspection.table_names()
    finally:
        call_command("migrate", "mail_oauth", verbosity=0)
    assert MailCredentials.objects.count() == 0


@pytest.mark.django_db
def test_no_migration_is_missing():
    call_command("makemigrations", "mail_oauth", check=True, dry_run=True, verbosity=0)
