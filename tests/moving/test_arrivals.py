"""Mailboxes that come by the hundred are changed as one is: by compare-and-swap, with an event, and then the signals."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from mail_oauth.cache import token_cache
from mail_oauth.exceptions import UnsealedValue
from mail_oauth.managers.arrivals import apply_many, create_many
from mail_oauth.managers.transitions import Transitions
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import CredentialEvent, MailCredentials
from mail_oauth.signals import mailbox_connected, mailbox_status_changed
from mail_oauth.tokens import Secret
from tests.mailboxes import stored


@pytest.fixture
def heard():
    """What signals have told: the mailbox, whether its row was there to others, and the reason."""
    told = []

    def connected(credentials, reason, **_):
        told.append((credentials.email, credentials.generation, reason))

    def changed(credentials, old_status, new_status, **_):
        told.append((credentials.email, old_status, new_status))

    mailbox_connected.connect(connected)
    mailbox_status_changed.connect(changed)
    yield told
    mailbox_connected.disconnect(connected)
    mailbox_status_changed.disconnect(changed)


@pytest.mark.django_db
def test_of_two_who_change_a_row_one_does(connect):
    first, second = connect(), connect()
    MailCredentials.objects.filter(pk=second.pk).update(generation=5)
    transitions = Transitions(MailCredentials.objects)
    changed = {row: {"status_reason": "theirs"} for row in (first, second)}
    assert apply_many(transitions, changed, EventKind.IMPORTED, reason="here") == {first.pk}
    assert MailCredentials.objects.get(pk=first.pk).generation == 2
    late = MailCredentials.objects.get(pk=second.pk)
    assert (late.generation, late.status_reason) == (5, "")
    assert list(CredentialEvent.objects.values_list("credentials", "generation")) == [(first.pk, 2)]


@pytest.mark.django_db
def test_a_row_that_a_worker_has_claimed_since_it_was_read_is_the_workers(connect):
    row = connect()
    claimed = MailCredentials.objects.claim(row.pk, generation=row.generation, force=True)
    transitions = Transitions(MailCredentials.objects)
    assert apply_many(transitions, {row: {"lease_owner": ""}}, EventKind.IMPORTED, reason="") == set()
    assert (stored(row).generation, stored(row).lease_owner) == (1, claimed.lease_owner)
    assert not CredentialEvent.objects.exists()


@pytest.mark.django_db
def test_each_row_may_change_in_columns_of_its_own(connect, heard):
    first, second, third = connect(), connect(), connect(status=Status.NEEDS_REAUTH)
    due = timezone.now() + timedelta(minutes=7)
    changed = {
        first: {"status_reason": "one"},
        second: {"status_reason": "two", "granted_scopes": "mail", "refresh_at": due},
        third: {"status": Status.CONNECTED, "refresh_at": None},
    }
    transitions = Transitions(MailCredentials.objects)
    assert len(apply_many(transitions, changed, EventKind.IMPORTED, reason="here")) == 3
    assert [row.generation for row in changed] == [stored(row).generation for row in changed] == [2, 2, 2]
    assert stored(first).status_reason == "one"
    assert (stored(second).status_reason, stored(second).granted_scopes) == ("two", "mail")
    assert abs(stored(second).refresh_at - due) < timedelta(seconds=10)
    assert (stored(third).status, stored(third).refresh_at) == (Status.CONNECTED, None)
    assert stored(third).status_changed_at > due - timedelta(minutes=8)
    assert CredentialEvent.objects.filter(kind=EventKind.IMPORTED, reason="here", generation=2).count() == 3
    assert (third.email, Status.NEEDS_REAUTH, Status.CONNECTED) in heard


@pytest.fixture
def new(user):
    """Makes a mailbox that is not stored yet, with a value in every column."""

    def make(email: str) -> MailCredentials:
        moments = iter(timezone.now() + timedelta(minutes=number, microseconds=7) for number in range(20))
        row = MailCredentials(
            user=user,
            email=email,
            **{
                name: f'ä "{name}" \\ %s \n\N{SNOWMAN}'
                for name in ("issuer", "subject", "tenant", "sign_in_address")
            },
            **{name: f"{name}'s" for name in ("provider", "status_reason", "requested_scopes", "granted_scopes")},
            **{name: name for name in ("lease_owner", "last_refresh_error")},
            **dict.fromkeys(("email_verified", "address_typed", "grant_end_estimated", "outcome_unknown"), True),
            **{name: next(moments).replace(second=1) for name in MOMENTS},
            use_oauth=False,
            refresh_policy="never",
            generation=2**40,
            refresh_failures=3,
        )
        for column in ("access_token", "refresh_token"):
            setattr(row, column, row.sealed(column, Secret(f"{column} of {email}")))
        return row

    return make


MOMENTS = (
    *("status_changed_at", "token_issued_at", "token_expiry", "refresh_token_expires_at", "grant_warned_at"),
    *("refresh_at", "last_refreshed_at", "rejected_at", "last_used_at", "connected_at"),
)


@pytest.mark.django_db
def test_a_new_row_is_stored_as_it_is(new):
    rows = [new("o'brien+\\@example.com"), new("ada@example.com")]
    given = [{field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields} for row in rows]
    create_many(Transitions(MailCredentials.objects), rows, EventKind.IMPORTED, reason="here")
    for row, columns in zip(rows, given, strict=True):
        found = MailCredentials.objects.filter(pk=row.pk).values().get()
        assert abs(found.pop("created_at") - timezone.now()) < timedelta(minutes=1)
        assert found == {name: value for name, value in columns.items() if name != "created_at"}
        assert stored(row).open_refresh_token().reveal() == f"refresh_token of {row.email}"
        [event] = CredentialEvent.objects.filter(credentials=row)
        assert (event.kind, event.reason, event.generation) == (EventKind.IMPORTED, "here", 2**40)
        assert (event.note, event.actor) == ("", None)
        assert abs(event.created_at - timezone.now()) < timedelta(minutes=1)
        row.save()  # it is no new row any more


@pytest.mark.django_db
def test_of_new_rows_all_are_stored_or_none(new):
    transitions = Transitions(MailCredentials.objects)
    with pytest.raises(IntegrityError), transaction.atomic():
        create_many(transitions, [new("ada@example.com"), new("ada@example.com")], EventKind.IMPORTED, reason="")
    assert not MailCredentials.objects.exists()
    assert not CredentialEvent.objects.exists()


@pytest.mark.django_db
def test_no_token_is_stored_in_the_open(new):
    row = new("ada@example.com")
    row.access_token = "in the open"
    with pytest.raises(UnsealedValue), transaction.atomic():
        create_many(Transitions(MailCredentials.objects), [row], EventKind.IMPORTED, reason="")
    assert not MailCredentials.objects.exists()


@pytest.mark.django_db
def test_nothing_is_nothing():
    transitions = Transitions(MailCredentials.objects)
    create_many(transitions, [], EventKind.IMPORTED, reason="")
    assert apply_many(transitions, {}, EventKind.IMPORTED, reason="") == set()


@pytest.mark.django_db(transaction=True)
def test_signals_come_with_the_commit_and_older_copies_go_with_it(
    lines, line_of, granted, report, heard, locmem_cache
):
    grant = granted(email="ada@example.com", minutes_ago=30)
    report("jsonl", lines(line_of(grant)))
    row = MailCredentials.objects.get()
    assert heard == [("ada@example.com", 1, "jsonl")]
    assert row.get_access_token().reveal() == token_cache.get(row.pk).reveal() == grant.access_token
    heard.clear()
    MailCredentials.objects.update(status=Status.NEEDS_REAUTH)
    newer = granted(email="ada@example.com", minutes_ago=1)
    report("jsonl", lines(line_of(newer)))
    assert heard == [("ada@example.com", 2, "jsonl"), ("ada@example.com", Status.NEEDS_REAUTH, Status.CONNECTED)]
    assert token_cache.get(row.pk).reveal() == newer.access_token
    assert token_cache.get(row.pk).generation == 2
