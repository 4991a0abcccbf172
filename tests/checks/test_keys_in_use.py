"""A key that was taken away too early is found before it hurts: by `check --database` and by `migrate`."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.checks import Error, Warning, run_checks  # noqa: A004
from django.core.management import CommandError, call_command
from django.core.management.base import SystemCheckError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mail_oauth.encryption import keyring, new_key
from mail_oauth.models import MailCredentials
from mail_oauth.upkeep.columns import sealed_columns
from mail_oauth.upkeep.rekey import rotate_keys
from tests.keys.vault.models import Jewel
from tests.sealing.blobs import overwrite, plain_fernet

pytestmark = pytest.mark.django_db

IDS = ("mail_oauth.E010", "mail_oauth.W011")


def found(**how: Any) -> list[Any]:
    how.setdefault("databases", ["default"])
    return [each for each in run_checks(tags=["database"], **how) if each.id in IDS]


@pytest.fixture
def old(connect, settings) -> str:
    """Two mailboxes under a key that was taken away; its fingerprint."""
    connect(), connect()
    fingerprint = keyring().keys[0].fingerprint
    settings.FERNET_KEYS = [new_key()]
    return fingerprint


def test_it_is_named_with_what_is_under_it_and_the_way_out(old):
    [error] = found()
    assert isinstance(error, Error)
    assert old in error.msg
    assert "4 values" in error.msg
    assert "2 in mail_oauth_mailcredentials.refresh_token" in error.msg
    assert "Put it back into FERNET_KEYS" in error.hint
    assert "rotate_keys" in error.hint


def test_check_fails_and_so_does_migrate(old):
    for command in (["check", "--database", "default"], ["check", "--tag", "database", "--database", "default"]):
        with pytest.raises(SystemCheckError, match="E010"):
            call_command(*command, stdout=io.StringIO(), stderr=io.StringIO())
    with pytest.raises((SystemCheckError, CommandError), match="E010"):
        call_command("migrate", skip_checks=False, stdout=io.StringIO(), stderr=io.StringIO())


class TestAFewValues:
    """Django runs this check before `migrate`: one row of another site's must not stop a deployment."""

    @pytest.fixture
    def few(self, old, connect) -> str:
        """As many again under the key that the site has: half are not most."""
        connect(), connect()
        return old

    def test_are_warned_of_and_named_all_the_same(self, few):
        [warning] = found()
        assert (warning.id, type(warning)) == ("mail_oauth.W011", Warning)
        assert few in warning.msg
        assert "2 in mail_oauth_mailcredentials.refresh_token" in warning.msg
        assert "Put it back into FERNET_KEYS" in warning.hint

    def test_do_not_stop_a_migration(self, few):
        said = io.StringIO()
        call_command("migrate", skip_checks=False, stdout=io.StringIO(), stderr=said)
        assert "W011" in said.getvalue()

    def test_fail_a_check_that_is_to_fail_by_them(self, few):
        call_command("check", "--database", "default", stderr=io.StringIO())
        with pytest.raises(SystemCheckError, match="W011"):
            call_command("check", "--database", "default", "--fail-level", "WARNING")

    def test_one_more_is_most(self, old, connect):
        connect(), MailCredentials.objects.filter(pk=connect().pk).update(access_token=None)
        [error] = found()
        assert (error.id, type(error)) == ("mail_oauth.E010", Error)


def test_a_check_without_a_database_asks_none(old):
    with CaptureQueriesContext(connection) as queries:
        assert run_checks(tags=["mail_oauth"]) == []
        call_command("check", stdout=io.StringIO(), stderr=io.StringIO())
    assert len(queries) == 0


def test_a_key_that_nothing_is_under_may_go(connect, settings):
    connect()
    settings.FERNET_KEYS = [new_key(), *settings.FERNET_KEYS]
    assert found() == []
    rotate_keys()
    settings.FERNET_KEYS = settings.FERNET_KEYS[:1]
    assert found() == []


def test_what_is_no_sealed_value_is_none_of_its_business(connect):
    mailbox = connect()
    overwrite(mailbox, "refresh_token", plain_fernet("x"))
    overwrite(mailbox, "access_token", b"in clear")
    assert found() == []


def test_several_keys_are_told_one_by_one(old, connect, settings):
    connect()
    another = keyring().keys[0].fingerprint
    settings.FERNET_KEYS = [new_key()]
    assert {key for key in (old, another) for error in found() if key in error.msg} == {old, another}
    assert len(found()) == 2


def test_it_costs_one_grouped_query_for_each_column(connect):
    connect()
    with CaptureQueriesContext(connection) as queries:
        found()
    assert sum("GROUP BY" in query["sql"] for query in queries) == len(sealed_columns())
    assert len(MailCredentials.objects.all()) == 1


def test_tables_that_are_not_there_yet_are_passed_over(connect, settings, monkeypatch):
    """An app that was just installed, whose tables `migrate` is about to make."""
    connect()
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "tests.keys.vault"]
    monkeypatch.setattr(Jewel._meta, "db_table", "vault_of_tomorrow")
    assert "vault_of_tomorrow.combination" in {column.title for column in sealed_columns()}
    assert found() == []
    assert rotate_keys().ok


@pytest.mark.django_db(transaction=True)
def test_a_database_without_any_table_can_be_migrated():
    try:
        call_command("migrate", "mail_oauth", "zero", verbosity=0)
        assert found() == []
        call_command("migrate", "mail_oauth", "0001", verbosity=0, skip_checks=False)
        assert found() == []
    finally:
        call_command("migrate", "mail_oauth", verbosity=0)


@pytest.mark.parametrize("broken", [{"FERNET_KEYS": [5]}, {"MAIL_OAUTH": {"NO_SUCH_SETTING": 1}}])
def test_settings_that_are_wrong_are_told_by_their_own_checks(settings, broken):
    for name, value in broken.items():
        setattr(settings, name, value)
    assert found() == []


class TestDeployment:
    def test_accepting_unbound_values_is_warned_of(self, settings):
        settings.MAIL_OAUTH = {"ACCEPT_UNBOUND": True}
        warned = {each.id: each.hint for each in run_checks(tags=["mail_oauth"], include_deployment_checks=True)}
        assert "bind_values" in warned["mail_oauth.W010"]
        assert "mail_oauth.W010" not in {each.id for each in run_checks(tags=["mail_oauth"])}
