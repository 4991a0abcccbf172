"""A copy of a row that is out of date never overwrites what a refresh saved."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, IntegrityError, transaction

from mail_oauth.cache import token_cache
from mail_oauth.exceptions import MailboxDisconnected
from mail_oauth.managers.transitions import Transitions
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import CredentialEvent, MailCredentials

pytestmark = pytest.mark.django_db


@pytest.fixture
def transitions() -> Transitions:
    return Transitions(MailCredentials.objects)


class TestSave:
    def test_of_an_old_copy_leaves_new_tokens_alone(self, connect):
        mailbox = connect()
        old = MailCredentials.objects.get(pk=mailbox.pk)
        new = mailbox.refresh_now()
        old.sign_in_address = "ada@corp.example"
        old.save()
        stored = MailCredentials.objects.get(pk=mailbox.pk)
        assert stored.open_access_token() == new
        assert stored.generation == new.generation
        assert stored.sign_in_address == "ada@corp.example"

    @pytest.mark.parametrize("column", sorted(MailCredentials.MANAGED))
    def test_refuses_to_name_a_managed_column(self, connect, column):
        mailbox = connect()
        with pytest.raises(ValueError, match="transitions only"):
            mailbox.save(update_fields=[column])

    def test_of_other_columns_by_name_is_allowed(self, connect):
        mailbox = connect()
        mailbox.email_verified = True
        mailbox.save(update_fields=["email_verified"])
        assert MailCredentials.objects.get(pk=mailbox.pk).email_verified

    def test_does_not_bring_a_deleted_row_back(self, connect):
        mailbox = connect()
        MailCredentials.objects.all().delete()
        with pytest.raises(DatabaseError), transaction.atomic():
            mailbox.save()
        assert not MailCredentials.objects.exists()

    def test_managed_columns_exist(self):
        assert {field.name for field in MailCredentials._meta.concrete_fields} >= MailCredentials.MANAGED


class TestATransition:
    def test_of_an_old_copy_changes_nothing(self, connect, transitions):
        mailbox = connect()
        old = MailCredentials.objects.get(pk=mailbox.pk)
        assert transitions.apply(mailbox, EventKind.NEEDS_ADMIN, {"status": Status.NEEDS_ADMIN})
        assert not transitions.apply(old, EventKind.DISCONNECTED, {"status": Status.DISCONNECTED})
        assert MailCredentials.objects.get(pk=mailbox.pk).status == Status.NEEDS_ADMIN
        assert [event.kind for event in CredentialEvent.objects.all()] == [EventKind.NEEDS_ADMIN]

    def test_raises_the_generation_and_records_one_event(self, connect, transitions, user):
        mailbox = connect()
        before = mailbox.generation
        transitions.apply(mailbox, EventKind.PAUSED, {"use_oauth": False}, reason="holiday", actor=user)
        assert mailbox.generation == MailCredentials.objects.get(pk=mailbox.pk).generation == before + 1
        [event] = mailbox.events.all()
        assert (event.kind, event.reason, event.generation, event.actor) == ("paused", "holiday", before + 1, user)

    def test_is_undone_with_its_event_when_the_event_cannot_be_written(self, connect, transitions, monkeypatch):
        mailbox = connect()
        with pytest.raises((IntegrityError, DatabaseError, ValueError)), transaction.atomic():
            transitions.apply(mailbox, EventKind.PAUSED, {"use_oauth": False}, actor="no user")
        assert MailCredentials.objects.get(pk=mailbox.pk).use_oauth

    def test_notes_when_the_status_changed(self, connect, transitions):
        mailbox = connect()
        since = mailbox.status_changed_at
        transitions.apply(mailbox, EventKind.REFRESH_FAILED, {})
        assert mailbox.status_changed_at == since
        transitions.apply(mailbox, EventKind.NEEDS_ADMIN, {"status": Status.NEEDS_ADMIN})
        assert mailbox.status_changed_at > since


class TestOneMailboxIsOneRow:
    def test_the_same_account_and_address_of_one_user_is_refused_twice(self, connect):
        mailbox = connect()
        with pytest.raises(IntegrityError), transaction.atomic():
            connect(email=mailbox.email, subject=mailbox.subject)

    def test_two_users_may_share_a_mailbox(self, connect, django_user_model):
        mailbox = connect()
        other = connect(
            email=mailbox.email, subject=mailbox.subject, owner=django_user_model.objects.create_user("other")
        )
        assert mailbox.get_access_token() != other.get_access_token()

    def test_one_account_may_open_several_mailboxes(self, connect):
        mailbox = connect()
        connect(email="team@example.com", subject=mailbox.subject)


@pytest.mark.django_db(transaction=True)
class TestADeletedRow:
    def test_answers_from_no_cache(self, connect):
        mailbox = connect()
        mailbox.get_access_token()
        MailCredentials.objects.get(pk=mailbox.pk).delete()
        with pytest.raises(MailCredentials.DoesNotExist):
            MailCredentials.objects.get_access_token(mailbox.pk)

    def test_whose_user_was_deleted_neither(self, connect, user):
        mailbox = connect()
        token = mailbox.get_access_token()
        user.delete()
        with pytest.raises(MailCredentials.DoesNotExist):
            MailCredentials.objects.get_access_token(mailbox.pk)
        assert not token_cache.put(mailbox.pk, token), "nor does a late writer bring it back"


def test_a_status_speaks_for_itself(connect, transitions):
    mailbox = connect()
    transitions.apply(mailbox, EventKind.DISCONNECTED, {"status": Status.DISCONNECTED, "refresh_at": None})
    with pytest.raises(MailboxDisconnected):
        mailbox.get_access_token()
    assert set(MailCredentials.objects.present()) == set()
    assert set(MailCredentials.objects.healthy()) == set()


class TestAReplica:
    """Reads may go to a copy of the database that lags behind; a refresh never does."""

    class Router:
        def db_for_read(self, model, **hints):
            return "replica"

        def db_for_write(self, model, **hints):
            return "default"

    def test_is_not_asked_for_a_token(self, connect, settings):
        mailbox = connect()
        settings.DATABASE_ROUTERS = [self.Router()]
        mailbox._state.db = "replica"  # as if it had been read there
        token = mailbox.refresh_now()
        token_cache.forget(mailbox.pk)
        assert mailbox.get_access_token() == token
        assert MailCredentials.objects.get_access_token(mailbox.pk) == token
