"""A refresh inside a caller's transaction never waits for a lock that this caller holds."""

from __future__ import annotations

import time

import pytest
from django.db import connection, transaction

from mail_oauth.connect.disconnect import disconnect
from mail_oauth.exceptions import TransactionHeld
from mail_oauth.managers.background import outside_transaction
from mail_oauth.models import MailCredentials

LIMIT = {"postgresql": "SHOW lock_timeout", "mysql": "SELECT @@SESSION.innodb_lock_wait_timeout"}


def limit() -> str:
    with connection.cursor() as cursor:
        cursor.execute(LIMIT[connection.vendor])
        return str(cursor.fetchone()[0])


@pytest.fixture(autouse=True)
def _row_locks(separate_connections) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite refuses to refresh inside a transaction at once")


@pytest.fixture
def mailbox(connect) -> MailCredentials:
    return connect("keycloak", seconds_left=-10)


@pytest.mark.parametrize("ask", ["get_access_token", "refresh_now"])
def test_who_locked_the_row_is_told_within_about_a_second(mailbox, posts, ask):
    with transaction.atomic():
        MailCredentials.objects.select_for_update().get(pk=mailbox.pk)
        begun = time.monotonic()
        with pytest.raises(TransactionHeld, match="before select_for_update"):
            getattr(mailbox, ask)()
        assert 0.5 < time.monotonic() - begun < 2.5
    assert posts(mailbox) == 0
    assert MailCredentials.objects.get(pk=mailbox.pk).lease_owner == ""
    assert mailbox.get_access_token(), "and afterwards all is well"
    assert posts(mailbox) == 1


def test_who_changed_the_row_is_told_and_keeps_the_change(mailbox, posts):
    with transaction.atomic():
        MailCredentials.objects.filter(pk=mailbox.pk).update(sign_in_address="new@example.com")
        with pytest.raises(TransactionHeld):
            mailbox.get_access_token()
    assert posts(mailbox) == 0
    assert MailCredentials.objects.get(pk=mailbox.pk).sign_in_address == "new@example.com"


def test_disconnecting_is_told_as_well(mailbox):
    with transaction.atomic():
        MailCredentials.objects.select_for_update().get(pk=mailbox.pk)
        with pytest.raises(TransactionHeld):
            disconnect(mailbox)


def test_a_lock_on_another_row_does_not_matter(mailbox, connect, posts):
    other = connect("keycloak")
    with transaction.atomic():
        MailCredentials.objects.select_for_update().get(pk=other.pk)
        assert mailbox.get_access_token()
    assert posts(mailbox) == 1


def test_the_limit_is_the_threads_own(mailbox):
    before = limit()
    with transaction.atomic():
        assert outside_transaction("default", limit) in {"1s", "1"}
        assert limit() == before


def test_what_fails_otherwise_is_raised_as_it_is(mailbox):
    def fail() -> None:
        raise ZeroDivisionError

    with transaction.atomic(), pytest.raises(ZeroDivisionError):
        outside_transaction("default", fail)
