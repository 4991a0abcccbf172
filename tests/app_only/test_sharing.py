"""One token of the app opens every mailbox that it is let into: it is asked for once, however many want it."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync
from django.core.cache import cache
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from mail_oauth.exceptions import MailboxDisconnected
from mail_oauth.managers import app_tokens
from mail_oauth.managers.vocabulary import Access
from mail_oauth.models import MailCredentials
from mail_oauth.tokens import Secret
from mail_oauth.upkeep.reconcile import reconcile_cache
from mail_oauth.upkeep.sweep import refresh_batch
from tests.concurrency import together
from tests.mailboxes import stored


@pytest.fixture
def many(add):
    return add("work", *(f"user{number}@contoso.example" for number in range(30)))


def holder() -> MailCredentials:
    return MailCredentials.objects.get(access=Access.APP)


def sweep():
    return refresh_batch(revoke=lambda _: None, threads=0)


class TestOneToken:
    def test_serves_every_mailbox(self, many, provider, asked):
        tokens = {mailbox.get_access_token().reveal() for mailbox in many}
        assert len(tokens) == 1
        assert asked() == [None]
        assert provider.is_valid_access_token(tokens.pop(), many[-1].email)

    def test_is_asked_for_once_though_all_want_it_at_once(self, separate_connections, many, asked):
        tokens = together(len(many), lambda: {each.get_access_token().reveal() for each in many})
        assert len(set.union(*tokens)) == 1
        assert asked() == [None]

    def test_is_refreshed_once_by_the_sweep(self, many, asked):
        many[0].get_access_token()
        MailCredentials.objects.make_due()
        report = sweep()
        assert (report.refreshed, report.unscheduled) == (1, len(many)), "though somebody has made all of them due"
        assert asked() == [None, None]
        assert sweep().refreshed == 0

    def test_survives_a_cache_that_is_flushed(self, many, asked):
        token = many[0].get_access_token()
        cache.clear()
        assert many[1].get_access_token() == token
        assert asked() == [None]

    def test_is_for_one_app_tenant_and_scope_alone(self, site, many, asked):
        token = many[0].get_access_token()
        site.change("work", TENANT="fabrikam.example")
        other = many[0].get_access_token()
        assert other != token
        site.change("work", TENANT="contoso.example")
        assert many[0].get_access_token() == token, "while old and new processes run, each has its own"
        site.change("work", TENANT="fabrikam.example")
        MailCredentials.objects.filter(access=Access.APP).make_due()
        asked()
        assert (report := sweep()).refreshed == 1, report
        assert report.unscheduled == 1, "what the settings have no use for is not kept warm"

    def test_comes_again_when_its_row_was_deleted(self, many, asked, django_capture_on_commit_callbacks):
        many[0].get_access_token()
        with django_capture_on_commit_callbacks(execute=True):
            holder().delete()
        assert many[1].get_access_token()
        assert holder()
        assert asked() == [None, None]

    def test_comes_by_one_row_though_all_make_it_at_once(self, separate_connections, many, provider):
        holder().delete()
        app_tokens.forget()
        together(8, many[0].get_access_token)
        assert holder()

    def test_costs_a_read_one_query(self, many, django_assert_num_queries):
        many[0].get_access_token()
        with django_assert_num_queries(1):
            many[1].get_access_token()
        with django_assert_num_queries(1):
            MailCredentials.objects.get_access_token(many[2].pk)

    def test_can_be_awaited(self, many):
        token = async_to_sync(many[0].aget_access_token)()
        assert async_to_sync(MailCredentials.objects.aget_access_token)(many[1].pk) == token
        assert async_to_sync(many[2].areport_rejected)(token) != token

    def test_is_near_for_all_mailboxes_where_one_has_just_used_it(self, many, settings, redis_cache):
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "NEAR_CACHE_SECONDS": 60}
        many[0].get_access_token()
        token = many[1].get_access_token()
        redis_cache.flush()
        with CaptureQueriesContext(connection) as asked:
            assert many[2].get_access_token() == token
        assert len(asked) == 1


class TestWhichMailboxMayUseIt:
    def test_its_own_row_says(self, many, settings):
        from mail_oauth.connect.disconnect import disconnect
        from mail_oauth.connect.switch import pause, resume

        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "NEAR_CACHE_SECONDS": 60}
        for mailbox in many[:3]:
            mailbox.get_access_token()
        disconnect(many[0])
        pause(many[1])
        with pytest.raises(MailboxDisconnected, match="add_mailbox"):
            stored(many[0]).get_access_token()
        with pytest.raises(MailboxDisconnected):
            MailCredentials.objects.get_access_token(many[0].pk)
        with pytest.raises(MailboxDisconnected, match="resume"):
            many[1].get_access_token()
        assert many[2].get_access_token()
        resume(stored(many[1]))
        assert many[1].get_access_token()
        assert stored(many[1]).refresh_at is None, "nothing is planned for it"

    def test_there_is_one_row_for_an_address(self, many):
        twin = MailCredentials(provider="work", email="x@y.example", app_key=stored(many[0]).app_key)
        with pytest.raises(IntegrityError):
            twin.save()

    def test_rows_of_users_need_no_key(self, connect):
        assert connect().app_key is None
        assert connect().app_key is None


class TestATokenThatAServerRefuses:
    def test_is_replaced_once_for_all(self, many, asked):
        token = many[0].get_access_token()
        others = {each.report_rejected(token).reveal() for each in many}
        assert len(others) == 1
        assert asked() == [None, None]

    def test_is_only_replaced_for_who_may_use_it(self, many):
        from mail_oauth.connect.switch import pause

        token = many[0].get_access_token()
        pause(many[0])
        with pytest.raises(MailboxDisconnected):
            many[0].report_rejected(Secret(token.reveal()))


class TestReconciliation:
    def test_finds_nothing_amiss(self, many, connect):
        many[0].get_access_token()
        report = reconcile_cache()
        assert (report.drift, report.rescheduled) == ({}, 0)

    def test_mends_the_copy(self, many, redis_cache):
        many[0].get_access_token()
        cache.clear()
        report = reconcile_cache()
        assert report.drift == {"absent": 1}
        assert report.repaired == 1

    def test_takes_google_mailboxes_back_into_the_schedule(self, add):
        mailbox = add("domain", "ada@example.com")
        mailbox.get_access_token()
        MailCredentials.objects.filter(pk=mailbox.pk).update(refresh_at=None)
        assert reconcile_cache().rescheduled == 1
        assert stored(mailbox).refresh_at is not None


class TestAnotherResource:
    def test_has_a_token_of_the_apps_own(self, many, provider, asked):
        tokens = {each.get_access_token(resource="graph").reveal() for each in many[:5]}
        assert len(tokens) == 1
        assert asked() == [None]
        assert provider.is_valid_access_token(tokens.pop(), scope="https://graph.microsoft.com/Mail.Send")

    def test_is_the_mailboxs_at_google(self, site, add, provider):
        site.change("domain", RESOURCES={"calendar": ["https://www.googleapis.com/auth/calendar"]})
        provider.add_service_account(
            keep_keys=True, scopes=["https://mail.google.com/", "https://www.googleapis.com/auth/calendar"]
        )
        token = add("domain", "ada@example.com").get_access_token(resource="calendar")
        assert provider.is_valid_access_token(
            token.reveal(), "ada@example.com", "https://www.googleapis.com/auth/calendar"
        )


class TestKeys:
    def test_are_rotated_as_everybodys(self, many, settings):
        from mail_oauth.upkeep.rekey import rotate_keys

        token = many[0].get_access_token()
        settings.FERNET_KEYS = ["another-key-of-this-test-alone", *settings.FERNET_KEYS]
        assert rotate_keys().ok
        settings.FERNET_KEYS = settings.FERNET_KEYS[:1]
        cache.clear()
        assert many[1].get_access_token() == token

    def test_that_are_lost_cost_a_call_and_no_mailbox(self, many, settings, asked):
        many[0].get_access_token()
        settings.FERNET_KEYS = ["another-key-of-this-test-alone"]
        cache.clear()
        assert many[1].get_access_token()
        assert asked() == [None, None]
