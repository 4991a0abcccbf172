"""Several resources on one grant: a token each, of one refresh token, and none of them is the mailbox's own business."""

from __future__ import annotations

import threading
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from asgiref.sync import async_to_sync
from django.core.cache import caches
from django.utils import timezone

from mail_oauth.cache import token_cache
from mail_oauth.connect.disconnect import disconnect
from mail_oauth.connect.switch import pause, resume
from mail_oauth.exceptions import (
    ConfigurationError,
    MailboxDisconnected,
    ProviderUnavailable,
    ReauthRequired,
)
from mail_oauth.managers import resources
from mail_oauth.managers.lanes import Lanes
from mail_oauth.models import MailCredentials
from mail_oauth.providers import provider_for
from mail_oauth.testing.faults import Fault
from mail_oauth.upkeep.reconcile import reconcile_cache
from tests.mailboxes import stored

pytestmark = pytest.mark.django_db

SEND = "https://graph.microsoft.com/Mail.Send"


@pytest.fixture
def site(provider, settings):
    """Microsoft's grants open Graph besides the mailbox; `site(RESOURCES=…)` says otherwise."""

    def configure(**options):
        before = settings.MAIL_OAUTH
        microsoft = {**before["PROVIDERS"]["microsoft"], "RESOURCES": {"graph": [SEND]}, **options}
        settings.MAIL_OAUTH = {**before, "PROVIDERS": {**before["PROVIDERS"], "microsoft": microsoft}}

    configure()
    return configure


@pytest.fixture
def mailbox(site, connect):
    return connect()


def opens(provider, token, scope) -> bool:
    return provider.is_valid_access_token(token.reveal(), scope=scope)


class TestATokenForAResource:
    def test_opens_it_and_the_mailboxs_own_does_not(self, provider, mailbox):
        graph, own = mailbox.get_access_token(resource="graph"), mailbox.get_access_token()
        assert opens(provider, graph, SEND)
        assert not opens(provider, own, SEND)
        assert opens(provider, own, "https://outlook.office.com/IMAP.AccessAsUser.All")

    def test_is_got_once(self, mailbox, posts, django_assert_num_queries):
        first = mailbox.get_access_token(resource="graph")
        with django_assert_num_queries(1):  # whether the mailbox may be used
            assert mailbox.get_access_token(resource="graph") == first
        assert posts(mailbox) == 1

    def test_is_got_anew_without_the_cache(self, mailbox, posts):
        first = mailbox.get_access_token(resource="graph")
        caches["default"].clear()
        assert mailbox.get_access_token(resource="graph") != first
        assert posts(mailbox) == 2

    def test_leaves_the_mailboxs_own_token_and_its_time_as_they_were(self, mailbox, posts):
        own, before = mailbox.get_access_token(), stored(mailbox)
        mailbox.get_access_token(resource="graph")
        after = stored(mailbox)
        assert (after.token_expiry, after.lease_owner, after.refresh_failures) == (before.token_expiry, "", 0)
        assert abs(after.refresh_at - before.refresh_at) < timedelta(minutes=2)
        assert after.get_access_token() == own
        assert posts(mailbox) == 1

    def test_keeps_the_refresh_token_that_came_with_it(self, provider, mailbox):
        provider.configure(rotate=True, detect_reuse=True)
        before = mailbox.open_refresh_token()
        mailbox.get_access_token(resource="graph")
        after = stored(mailbox).open_refresh_token()
        assert after != before
        assert provider.newest_refresh_token(mailbox.email) == after.reveal()
        stored(mailbox).refresh_now()

    def test_leaves_the_cache_as_reconciliation_expects_it(self, provider, mailbox):
        provider.configure(rotate=True)
        mailbox.get_access_token()
        mailbox.get_access_token(resource="graph")
        assert not any(reconcile_cache().drift.values())

    def test_can_be_awaited(self, provider, mailbox):
        token = async_to_sync(mailbox.aget_access_token)(resource="graph")
        assert opens(provider, token, SEND)

    def test_by_the_manager(self, provider, mailbox):
        assert opens(provider, MailCredentials.objects.get_access_token(mailbox.pk, resource="graph"), SEND)

    def test_of_another_name_is_a_mistake_in_the_settings(self, mailbox):
        with pytest.raises(ConfigurationError, match='"RESOURCES"'):
            mailbox.get_access_token(resource="calendar")


class TestARefusal:
    def test_for_want_of_consent_leaves_the_mailbox_connected(self, site, connect, posts):
        site(RESOURCES={})
        mailbox = connect()
        site()
        with pytest.raises(ReauthRequired, match="consent to"):
            mailbox.get_access_token(resource="graph")
        assert stored(mailbox).status == "connected"
        mailbox.get_access_token()

    def test_of_the_grant_is_left_to_the_mailboxs_own_refresh(self, provider, mailbox):
        before = stored(mailbox)
        provider.end_grants(mailbox.email)
        with pytest.raises(ReauthRequired):
            mailbox.get_access_token(resource="graph")
        after = stored(mailbox)
        assert (after.status, after.refresh_at, after.lease_owner) == ("connected", before.refresh_at, "")
        with pytest.raises(ReauthRequired):
            after.refresh_now()
        assert stored(mailbox).status == "needs_reauth"

    def test_of_its_scopes_in_a_reply_that_grants_less_is_one_too(self, provider, mailbox, posts, monkeypatch):
        """The refresh token is kept, the access token given to nobody, and the lane hears of the call."""
        learned: list[object] = []
        true = Lanes.learn
        monkeypatch.setattr(Lanes, "learn", lambda *args: learned.append(args) or true(*args))
        provider.configure(rotate=True, detect_reuse=True)
        provider.fail_next(1, Fault.reply_with(scope="openid"))
        for _ in range(2):
            with pytest.raises(ReauthRequired, match="scope_missing"):
                mailbox.get_access_token(resource="graph")
        after = stored(mailbox)
        assert (after.status, after.lease_owner, posts(mailbox), len(learned)) == ("connected", "", 1, 1)
        assert provider.newest_refresh_token(mailbox.email) == after.open_refresh_token().reveal()

    def test_is_remembered_for_who_asks_in_a_loop(self, site, connect, posts):
        site(RESOURCES={})
        mailbox = connect()
        site()
        for _ in range(5):
            with pytest.raises(ReauthRequired, match="AADSTS65001"):
                mailbox.get_access_token(resource="graph")
        assert posts(mailbox) == 1

    @pytest.mark.parametrize("fault", [Fault.html(503), Fault.rate_limited()], ids=["503", "429"])
    def test_for_now_counts_against_nobody(self, provider, mailbox, fault):
        before = stored(mailbox)
        provider.fail_next(1, fault)
        with pytest.raises(ProviderUnavailable):
            mailbox.get_access_token(resource="graph")
        after = stored(mailbox)
        assert (after.refresh_failures, after.status, after.lease_owner) == (0, "connected", "")
        assert abs(after.refresh_at - before.refresh_at) < timedelta(seconds=5)

    def test_whose_outcome_is_unknown_is_remembered(self, provider, mailbox):
        """The refresh token may be spent: what the next refusal means must be weighed."""
        provider.fail_next(1, Fault.drop_after_rotation())
        with pytest.raises(ProviderUnavailable):
            mailbox.get_access_token(resource="graph")
        assert stored(mailbox).outcome_unknown

    def test_of_its_scopes_holds_no_lane(self, provider, site, connect):
        provider.fail_next(9, Fault.oauth_error("invalid_scope", aadsts=70011))
        for _ in range(4):
            mailbox = connect()
            with pytest.raises(ProviderUnavailable):
                mailbox.get_access_token(resource="graph")
        provider.clear_faults()
        assert mailbox.refresh_now()

    def test_keeps_the_refresh_token_that_came_with_it(self, provider, mailbox):
        """A 200 without an access token; and the mailbox is paused meanwhile."""
        provider.configure(rotate=True, detect_reuse=True)
        provider.fail_next(1, Fault.reply_without("access_token"))
        with pytest.raises(ProviderUnavailable):
            mailbox.get_access_token(resource="graph")
        assert provider.newest_refresh_token(mailbox.email) == stored(mailbox).open_refresh_token().reveal()

    @pytest.mark.parametrize("fault", [None, Fault.reply_without("access_token")], ids=["granted", "refused"])
    def test_or_a_grant_that_meets_a_change_by_somebody_else_loses_no_token(
        self, provider, mailbox, monkeypatch, fault
    ):
        provider.configure(rotate=True, detect_reuse=True)
        if fault is not None:
            provider.fail_next(1, fault)
        true = resources.spend

        def meanwhile(*args, **kwargs):
            answer = true(*args, **kwargs)
            pause(stored(mailbox))
            return answer

        monkeypatch.setattr(resources, "spend", meanwhile)
        with pytest.raises(MailboxDisconnected):
            mailbox.get_access_token(resource="graph")
        assert provider.newest_refresh_token(mailbox.email) == stored(mailbox).open_refresh_token().reveal()
        resume(stored(mailbox))
        assert stored(mailbox).refresh_now()

    def test_leaves_the_time_of_a_retry_as_it_was(self, mailbox):
        due = timezone.now() - timedelta(seconds=5)
        MailCredentials.objects.filter(pk=mailbox.pk).update(refresh_failures=1, refresh_at=due)
        mailbox.get_access_token(resource="graph")
        after = stored(mailbox)
        assert after.refresh_failures == 1
        assert abs(after.refresh_at - due) < timedelta(seconds=5)


class TestItEndsWithTheGrant:
    def test_whatever_becomes_of_the_cache(self, mailbox, monkeypatch):
        """No tombstone is needed: the row is asked, and the copy is of one consent."""
        mailbox.get_access_token(resource="graph")
        monkeypatch.setattr(token_cache, "bury_many", lambda *_: set())
        disconnect(mailbox)
        with pytest.raises(MailboxDisconnected):
            mailbox.get_access_token(resource="graph")

    def test_when_another_account_takes_its_place(self, provider, mailbox, posts):
        before = mailbox.get_access_token(resource="graph")
        MailCredentials.objects.filter(pk=mailbox.pk).update(connected_at=timezone.now() + timedelta(seconds=1))
        assert mailbox.get_access_token(resource="graph") != before

    def test_when_the_mailbox_is_disconnected(self, mailbox):
        mailbox.get_access_token(resource="graph")
        disconnect(mailbox)
        with pytest.raises(MailboxDisconnected):
            mailbox.get_access_token(resource="graph")

    def test_when_the_row_is_deleted(self, mailbox):
        mailbox.get_access_token(resource="graph")
        pk = mailbox.pk
        mailbox.delete()
        with pytest.raises(MailCredentials.DoesNotExist):
            MailCredentials.objects.get_access_token(pk, resource="graph")

    def test_when_it_is_paused(self, mailbox):
        mailbox.get_access_token(resource="graph")
        pause(mailbox)
        with pytest.raises(MailboxDisconnected):
            mailbox.get_access_token(resource="graph")


class TestATokenThatIsRefused:
    def test_is_replaced_once_within_the_interval(self, provider, mailbox, posts):
        token = mailbox.get_access_token(resource="graph")
        other = mailbox.report_rejected(token, resource="graph")
        assert other != token
        assert mailbox.report_rejected(token, resource="graph") == other
        with pytest.raises(ProviderUnavailable) as refused:
            mailbox.report_rejected(other, resource="graph")
        assert refused.value.reason == "token_rejected"
        assert posts(mailbox) == 2

    def test_takes_nothing_from_the_mailboxs_own(self, provider, mailbox):
        token = mailbox.get_access_token(resource="graph")
        mailbox.report_rejected(token, resource="graph")
        own = mailbox.get_access_token()
        assert stored(mailbox).report_rejected(own) != own


class TestTheConsent:
    def test_asks_for_every_resource_and_redeems_for_one(self, site):
        """Microsoft's /token takes one resource (AADSTS28000)."""
        provider = provider_for("microsoft")
        url = provider.authorization_url(
            redirect_uri="https://a.example/", state="s", nonce="n", code_verifier="v" * 43
        )
        asked = parse_qs(urlsplit(url).query)["scope"][0].split()
        assert SEND in asked
        assert SEND not in provider.redeemed_scope.split()
        assert set(provider.redeemed_scope.split()) < set(asked)

    def test_without_resources_is_as_before(self, site):
        site(RESOURCES={})
        assert provider_for("microsoft").redeemed_scope == ""

    @pytest.mark.parametrize(
        "resources", [{"mail": ["x"]}, {"parked": ["x"]}, {"a b": ["x"]}, {"graph": [1]}, ["graph"]]
    )
    def test_is_configured_right(self, site, resources):
        site(RESOURCES=resources)
        with pytest.raises(ConfigurationError, match="RESOURCES"):
            provider_for("microsoft")


@pytest.mark.django_db(transaction=True)
def test_many_at_once_cost_one_call_each_resource(mailbox, posts, provider):
    """Where threads share a database; on SQLite in memory they cannot."""
    from django.db import connection

    if connection.vendor == "sqlite" and connection.is_in_memory_db():
        pytest.skip("threads cannot share SQLite in memory; runs on the other databases")
    found: list[object] = []

    def ask(resource: str) -> None:
        try:
            found.append(mailbox.get_access_token(resource=resource).reveal())
        except Exception as error:  # noqa: BLE001  # the test looks at it
            found.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask, args=(name,)) for name in ["graph"] * 6 + ["mail"] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 2, found
    assert posts(mailbox) == 1
