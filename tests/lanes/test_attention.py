"""What should have passed and did not is brought before somebody, and costs no grant."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mail_oauth.exceptions import ProviderUnavailable, ReauthRequired
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import MailCredentials
from mail_oauth.testing.faults import Fault
from tests.losses.passing import pass_time, sweep

pytestmark = pytest.mark.django_db

UNKNOWN = Fault.oauth_error("teapot", status=418)
LOCKED = Fault.oauth_error("invalid_grant", aadsts=50053)
DAY = timedelta(days=1)


@pytest.fixture
def mailbox(connect) -> MailCredentials:
    return connect(seconds_left=-10)


def fail(fault: Fault, provider, times: int = 1) -> None:
    with provider.fault(fault):
        for _ in range(times):
            MailCredentials.objects.make_due()
            sweep()
    pass_time(timedelta(minutes=20))  # whatever lane was held meanwhile


class TestARefusalThatNobodyKnows:
    def test_is_retried_slowly_and_then_needs_attention(self, mailbox, provider, told):
        before = mailbox.open_refresh_token()
        fail(UNKNOWN, provider, 4)
        mailbox.refresh_from_db()
        assert (mailbox.status, mailbox.refresh_failures) == (Status.CONNECTED, 4)
        fail(UNKNOWN, provider)
        mailbox.refresh_from_db()
        assert (mailbox.status, mailbox.status_reason) == (Status.NEEDS_ATTENTION, "teapot")
        assert told == [Status.NEEDS_ATTENTION]
        assert mailbox.events.filter(kind=EventKind.NEEDS_ATTENTION).count() == 1
        assert mailbox.open_refresh_token() == before
        assert mailbox in MailCredentials.objects.needing_attention()
        with pytest.raises(ProviderUnavailable, match="teapot"):
            mailbox.get_access_token()

    def test_goes_on_being_tried_and_recovers(self, mailbox, provider, told):
        fail(UNKNOWN, provider, 6)
        pass_time(DAY)
        assert sweep().refreshed == 1
        mailbox.refresh_from_db()
        assert (mailbox.status, mailbox.status_reason, mailbox.refresh_failures) == (Status.CONNECTED, "", 0)
        assert told == [Status.NEEDS_ATTENTION, Status.CONNECTED]

    def test_counts_only_itself(self, mailbox, provider):
        """Forty timeouts and one odd answer are no reason to alarm anybody."""
        fail(Fault.html(), provider, 20)
        fail(UNKNOWN, provider, 4)
        mailbox.refresh_from_db()
        assert (mailbox.status, mailbox.refresh_failures) == (Status.CONNECTED, 4)


class TestALockedAccount:
    """AADSTS50053: locked, or signed in from a bad address: it passes, or its user must sign in."""

    def test_is_the_users_turn_when_it_lasts(self, mailbox, provider, told):
        fail(LOCKED, provider, 4)
        assert told == []
        fail(LOCKED, provider)
        assert told == [Status.NEEDS_REAUTH]
        with pytest.raises(ReauthRequired, match="50053"):
            mailbox.get_access_token()

    def test_is_forgotten_when_it_passes(self, mailbox, provider):
        fail(LOCKED, provider, 4)
        pass_time(DAY)
        sweep()
        fail(LOCKED, provider, 4)
        mailbox.refresh_from_db()
        assert mailbox.status == Status.CONNECTED


class TestFewerScopes:
    """A mail scope that is missing is told; what was granted is kept."""

    NARROW = Fault.reply_with(scope="https://outlook.office.com/IMAP.AccessAsUser.All")

    def test_of_a_refresh_are_told_and_the_pair_is_kept(self, mailbox, provider, caplog):
        provider.fail_next(1, self.NARROW)
        assert mailbox.refresh_now()
        mailbox.refresh_from_db()
        assert (mailbox.status, mailbox.status_reason) == (Status.CONNECTED, "scope_missing")
        assert mailbox.scopes == ("https://outlook.office.com/IMAP.AccessAsUser.All",)
        assert mailbox.open_refresh_token().reveal() == provider.newest_refresh_token(mailbox.email)
        assert mailbox.events.get().reason == "scope_missing"

    def test_are_forgotten_when_all_are_granted_again(self, mailbox, provider):
        provider.fail_next(1, self.NARROW)
        mailbox.refresh_now()
        mailbox.refresh_now()
        mailbox.refresh_from_db()
        assert mailbox.status_reason == ""

    @pytest.mark.parametrize(
        "fault",
        [
            Fault.reply_without("scope"),
            Fault.mutate(lambda reply: {**reply, "scope": " ".join(reversed(reply["scope"].split())) + " extra"}),
        ],
        ids=["none named", "another order and more"],
    )
    def test_that_are_none_are_no_matter(self, mailbox, provider, fault):
        provider.fail_next(1, fault)
        mailbox.refresh_now()
        mailbox.refresh_from_db()
        assert mailbox.status_reason == ""
