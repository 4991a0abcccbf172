"""What staff may do to the app's own access, and what they learn of it: it is no mailbox, and every mailbox hangs on it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from mail_oauth.connect.app_only import add_mailboxes
from mail_oauth.connect.disconnect import disconnect
from mail_oauth.exceptions import MailboxDisconnected, ReauthRequired
from mail_oauth.managers import app_tokens
from mail_oauth.managers.vocabulary import Access, EventKind, Status
from mail_oauth.models import MailCredentials
from mail_oauth.operations.contract import NOT_OFFERED
from mail_oauth.testing.faults import Fault
from mail_oauth.upkeep.reconcile import reconcile_cache
from mail_oauth.upkeep.sweep import refresh_batch
from tests.admin.conftest import page_of
from tests.admin.test_operations import act, press
from tests.concurrency import together
from tests.mailboxes import stored
from tests.telling import said


@pytest.fixture
def many(add):
    return add("work", *(f"user{number}@contoso.example" for number in range(5)))


def holder() -> MailCredentials:
    return MailCredentials.objects.get(access=Access.APP)


@pytest.fixture(autouse=True)
def unknown():
    """Nothing of another test's rows is known to this process."""
    app_tokens.forget()


class TestOperations:
    def test_it_is_not_disconnected(self, many, root):
        page = root.get(page_of(holder()))
        assert "disconnect" not in {each.name for each in page.context["operations"]}
        (message,) = said(press(root, holder(), "disconnect", confirmed="yes"))
        assert message == f"the access of the app (work): {NOT_OFFERED}."
        assert holder().status == Status.CONNECTED

    @pytest.mark.parametrize("name", ["pause", "disconnect"])
    def test_it_is_left_out_among_many(self, many, root, name):
        question = act(root, name, [*many, holder()], confirmed=None).content.decode()
        assert "5 mailboxes" in question
        assert "access of the app" not in question
        answers = said(act(root, name, [*many, holder()]))
        assert len(answers) == 5
        assert holder().is_connected
        assert said(act(root, name, [holder()]))[-1] == NOT_OFFERED

    def test_switching_it_off_is_asked_with_what_hangs_on_it(self, many, root):
        question = press(root, holder(), "pause").content.decode()
        assert "All mailboxes that the app is let into hang on this" in question
        assert "All mailboxes that the app" not in press(root, many[0], "pause").content.decode()
        press(root, holder(), "pause", confirmed="yes")
        with pytest.raises(MailboxDisconnected, match="the access of the app"):
            many[0].get_access_token()
        press(root, holder(), "resume")
        assert many[0].get_access_token()

    def test_no_sign_in_is_tested_where_there_is_no_mailbox(self, many, root):
        (message,) = said(press(root, holder(), "test_sign_in"))
        assert str(NOT_OFFERED) in message


class TestRefreshNow:
    def test_asks_once_for_the_one_token_of_many(self, many, root, asked):
        answers = said(act(root, "refresh_now", many))
        assert asked() == [None]
        assert len(answers) == 5
        assert all("the app's token, which opens it, was renewed" in each for each in answers)

    def test_asks_again_where_it_was_renewed_long_ago(self, many, root, asked):
        many[0].get_access_token()
        long_ago = timezone.now() - timedelta(hours=1)
        MailCredentials.objects.filter(pk=holder().pk).update(last_refreshed_at=long_ago)
        act(root, "refresh_now", many)
        assert asked() == [None, None]

    @pytest.mark.parametrize(
        "fault",
        [Fault.oauth_error("invalid_grant", aadsts=53003), Fault.html(503), Fault.html(503, after_issue=True)],
        ids=["its administrator must act", "a bad minute", "a lost reply"],
    )
    def test_asks_once_where_nothing_comes_of_it(self, many, root, provider, asked, fault):
        many[0].get_access_token()
        long_ago = timezone.now() - timedelta(hours=1)
        MailCredentials.objects.filter(pk=holder().pk).update(last_refreshed_at=long_ago)
        provider.clear_calls()
        with provider.fault(fault):
            answers = said(act(root, "refresh_now", many))
        assert len(asked()) == 1
        assert len(answers) == 5
        assert not any("renewed" in each for each in answers)

    def test_says_so_where_a_mailbox_may_not_use_it(self, many, root):
        many[0].get_access_token()
        MailCredentials.objects.filter(pk=many[0].pk).update(status=Status.NEEDS_ADMIN, status_reason="odd")
        (message,) = said(press(root, many[0], "refresh_now"))
        assert "renewed" not in message
        assert "(odd)" in message


class TestWhatAFormerReleaseDemoted:
    """It found no refresh token, and took these rows for users' whose grants are gone."""

    @pytest.fixture
    def demoted(self, many, add):
        own = add("domain", "ada@example.com")
        MailCredentials.objects.update(
            status=Status.NEEDS_REAUTH, status_reason="no_refresh_token", refresh_at=None
        )
        return [*many, own]

    def test_is_taken_back_by_reconciliation(self, demoted, connect):
        lost = connect(status=Status.NEEDS_REAUTH)
        assert reconcile_cache(dry_run=True).rescheduled == 7
        assert not MailCredentials.objects.healthy().exists()
        assert reconcile_cache().rescheduled == 7
        for mailbox in demoted:
            assert stored(mailbox).get_access_token()
        assert stored(demoted[0]).refresh_at is None, "nothing is planned for it"
        assert stored(lost).status == Status.NEEDS_REAUTH, "its user must connect it again indeed"

    def test_is_due_at_once(self, demoted):
        reconcile_cache()
        assert refresh_batch(revoke=lambda _: None, threads=0).refreshed == 2

    def test_is_not_used_where_it_was_switched_off(self, demoted):
        MailCredentials.objects.update(use_oauth=False)
        reconcile_cache()
        assert not MailCredentials.objects.filter(refresh_at__isnull=False).exists()


class TestAddingAMailbox:
    """It is the cure that the errors name."""

    def test_takes_what_was_disconnected_into_use_again(self, many, superuser):
        many[0].get_access_token()
        disconnect(holder())
        with pytest.raises(MailboxDisconnected, match="add_mailbox"):
            many[0].get_access_token()
        add_mailboxes("work", [many[1].email], actor=superuser)
        assert refresh_batch(revoke=lambda _: None, threads=0).refreshed == 1, "it is due at once"
        assert many[0].get_access_token()
        assert holder().events.get(kind=EventKind.RECONNECTED).actor == superuser

    def test_takes_what_is_said_to_need_a_user_into_use_again(self, many):
        many[0].get_access_token()
        MailCredentials.objects.filter(pk=holder().pk).update(
            status=Status.NEEDS_REAUTH, status_reason="no_refresh_token", refresh_at=None
        )
        with pytest.raises(ReauthRequired, match="add_mailbox"):
            many[0].refresh_now()
        add_mailboxes("work", [many[0].email])
        assert many[0].refresh_now()

    def test_leaves_alone_what_is_in_order_or_switched_off(self, many):
        before = holder()
        add_mailboxes("work", [many[0].email])
        MailCredentials.objects.filter(pk=before.pk).update(use_oauth=False)
        add_mailboxes("work", [many[0].email])
        assert (holder().generation, holder().use_oauth) == (before.generation, False)

    def test_revives_it_once_though_many_add_at_once(self, separate_connections, many):
        disconnect(holder())
        together(8, lambda: add_mailboxes("work", [many[0].email]))
        assert holder().is_connected
        assert holder().events.filter(kind=EventKind.RECONNECTED).count() == 1
        assert many[0].get_access_token()

    def test_no_read_revives_it(self, many):
        disconnect(holder())
        app_tokens.forget()
        with pytest.raises(MailboxDisconnected):
            many[0].get_access_token()
        assert holder().status == Status.DISCONNECTED
