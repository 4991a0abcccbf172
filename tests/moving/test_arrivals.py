"""Mailboxes that come by the hundred are changed as one is: by compare-and-swap, with an event, and then the signals."""

from __future__ import annotations

import pytest

from mail_oauth.cache import token_cache
from mail_oauth.managers.arrivals import apply_many, create_many
from mail_oauth.managers.transitions import Transitions
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import CredentialEvent, MailCredentials
from mail_oauth.signals import mailbox_connected, mailbox_status_changed


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
