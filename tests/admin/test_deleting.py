"""A deleted mailbox leaves nothing in the cache, and only goes with permission."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.db import transaction

from mail_oauth.cache import token_cache
from mail_oauth.managers.vocabulary import EventKind
from mail_oauth.models import CredentialEvent, MailCredentials
from tests.admin.conftest import CHANGELIST, page_of

# What is deleted leaves the cache once that is committed.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def cached(transactional_db, connect, any_cache):
    """A mailbox whose token is cached in a newer generation than the row in hand."""
    mailbox = connect()
    MailCredentials.objects.get(pk=mailbox.pk).refresh_now()
    assert token_cache.get(mailbox.pk) is not None
    return mailbox


def test_a_deleted_row_leaves_no_token_in_the_cache(cached):
    late, pk = cached.open_access_token(), cached.pk
    cached.delete()
    assert token_cache.get(pk) is None
    assert not token_cache.put(pk, late)


def test_the_rows_of_a_deleted_user_leave_none_either(cached):
    cached.user.delete()
    assert token_cache.get(cached.pk) is None


def test_a_queryset_of_rows_leaves_none_either(cached):
    MailCredentials.objects.all().delete()
    assert token_cache.get(cached.pk) is None


def test_a_deletion_that_is_rolled_back_leaves_the_token(connect, locmem_cache):
    mailbox = connect()
    mailbox.get_access_token()
    with transaction.atomic():
        mailbox.delete()
        transaction.set_rollback(True)
    assert token_cache.get(MailCredentials.objects.get().pk) is not None


def test_deleting_in_the_admin_needs_the_permission_and_warns(connect, staff, signed_in, locmem_cache):
    mailbox = connect()
    token_cache.put(mailbox.pk, mailbox.open_access_token())
    CredentialEvent.objects.bulk_create(
        CredentialEvent(credentials=mailbox, kind=EventKind.REFRESHED, generation=number) for number in range(30)
    )
    assert signed_in(staff("view", "change")).get(page_of(mailbox, "delete/")).status_code == 403
    browser = signed_in(staff("view", "delete"))
    question = browser.get(page_of(mailbox, "delete/")).content.decode()
    assert "does not revoke the grant" in question
    assert "Mailbox events: 30" in question
    assert question.count("token refreshed") == 0  # events are counted, not listed
    assert browser.post(page_of(mailbox, "delete/"), {"post": "yes"}).status_code == 302
    assert not MailCredentials.objects.exists()
    assert token_cache.get(mailbox.pk) is None


def test_deleting_many_in_the_list_leaves_no_token(root, connect, locmem_cache):
    mailboxes = [connect(), connect()]
    for mailbox in mailboxes:
        mailbox.get_access_token()
    form = {"action": "delete_selected", "_selected_action": [str(mailbox.pk) for mailbox in mailboxes]}
    assert "does not revoke the grant" in root.post(CHANGELIST, form).content.decode()
    root.post(CHANGELIST, {**form, "post": "yes"})
    assert not MailCredentials.objects.exists()
    assert [token_cache.get(mailbox.pk) for mailbox in mailboxes] == [None, None]


def test_who_may_delete_users_and_mailboxes_can_delete_a_user_with_history(connect, staff, signed_in):
    mailbox = connect()
    CredentialEvent.objects.create(credentials=mailbox, kind=EventKind.CONNECTED)
    person = staff("view", "delete")
    person.user_permissions.add(Permission.objects.get(codename="delete_user"))
    response = signed_in(person).post(f"/admin/auth/user/{mailbox.user.pk}/delete/", {"post": "yes"})
    assert response.status_code == 302
    assert not MailCredentials.objects.exists()
