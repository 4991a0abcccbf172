"""A connected mailbox keeps its grant by rotation, and loses it only when the provider ends it."""

from __future__ import annotations

import pytest
from django.utils import timezone

from mail_oauth.exceptions import ProviderUnavailable, ReauthRequired
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import MailCredentials
from tests.concurrency import together
from tests.toolkit.server import Toolkit

pytestmark = pytest.mark.django_db


def kinds(mailbox: MailCredentials) -> list[str]:
    return [event.kind for event in mailbox.events.order_by("pk")]


class TestRotation:
    def test_replaces_both_tokens_and_ends_the_old_ones(self, expired: MailCredentials, toolkit: Toolkit):
        old_access, old_refresh = expired.open_access_token(), expired.open_refresh_token()
        assert not toolkit.accepts(old_access.reveal())
        token = expired.get_access_token()
        assert toolkit.accepts(token.reveal())
        assert 50 < token.seconds_left(timezone.now()) <= 60
        stored = MailCredentials.objects.get()
        assert stored.open_refresh_token() != old_refresh
        assert toolkit.keeps(stored.open_refresh_token().reveal())
        assert not toolkit.keeps(old_refresh.reveal())
        assert toolkit.spend(old_refresh)["error"] == "invalid_grant"

    def test_goes_on(self, mailbox: MailCredentials, toolkit: Toolkit):
        tokens = [mailbox.refresh_now() for _ in range(3)]
        assert [toolkit.keeps(token.reveal()) for token in tokens] == [False, False, True]
        assert toolkit.refreshes == [200, 200, 200]
        assert len(toolkit.live_tokens) == 2

    def test_outlives_a_restart_of_the_provider(self, mailbox: MailCredentials, toolkit: Toolkit):
        mailbox.refresh_now()
        toolkit.stop()
        with pytest.raises(ProviderUnavailable):
            mailbox.refresh_now()
        toolkit.start()
        assert toolkit.accepts(mailbox.refresh_now().reveal())
        assert kinds(mailbox)[-2:] == [EventKind.REFRESH_FAILED, EventKind.RECOVERED]


@pytest.mark.django_db(transaction=True)
def test_of_eight_who_ask_at_once_one_refreshes_for_all(
    separate_connections: None, expired: MailCredentials, toolkit: Toolkit
):
    tokens = together(8, lambda: MailCredentials.objects.get_access_token(expired.pk).reveal())
    assert toolkit.refreshes == [200]
    assert len(tokens) == 8
    assert len(set(tokens)) == 1
    assert toolkit.accepts(tokens[0])
    assert MailCredentials.objects.get().generation == expired.generation + 1


class TestAReusedRefreshToken:
    """The provider then ends the whole family (RFC 9700 §4.14.2), and the user must connect again."""

    def lost(self, mailbox: MailCredentials, toolkit: Toolkit) -> None:
        """Our next two callers are told; only the first one asked the provider."""
        before = len(toolkit.refreshes)
        for _ in range(2):
            with pytest.raises(ReauthRequired) as raised:
                mailbox.get_access_token()
            assert raised.value.reason == "invalid_grant"
        assert toolkit.refreshes[before:] == [400]
        row = MailCredentials.objects.get()
        assert (row.status, row.status_reason, row.refresh_at) == (Status.NEEDS_REAUTH, "invalid_grant", None)
        assert not MailCredentials.objects.due().exists()
        assert not toolkit.live_tokens

    def test_that_somebody_else_replays(self, mailbox: MailCredentials, toolkit: Toolkit, request):
        stolen = mailbox.open_refresh_token()
        mailbox.refresh_now()
        assert toolkit.spend(stolen)["error"] == "invalid_grant"
        self.lost(request.getfixturevalue("expired"), toolkit)

    def test_that_somebody_else_spent_before_us(self, expired: MailCredentials, toolkit: Toolkit):
        theirs = toolkit.spend(expired.open_refresh_token())
        assert toolkit.accepts(theirs["access_token"])
        self.lost(expired, toolkit)
        assert not toolkit.accepts(theirs["access_token"]), "the thief's tokens end with ours"

    def test_is_mended_by_connecting_again(self, expired: MailCredentials, toolkit: Toolkit, visitor):
        toolkit.spend(expired.open_refresh_token())
        self.lost(expired, toolkit)
        visitor.connect()
        row = MailCredentials.objects.get()
        assert (row.pk, row.status) == (expired.pk, Status.CONNECTED)
        assert toolkit.accepts(row.refresh_now().reveal())


class TestAWrongClientSecret:
    def test_demotes_no_mailbox_and_costs_no_grant(self, expired: MailCredentials, toolkit: Toolkit, configure):
        configure(CLIENT_SECRET="rolled over")
        for _ in range(2):
            with pytest.raises(ProviderUnavailable) as raised:
                expired.get_access_token()
            assert raised.value.reason == "invalid_client"
        assert toolkit.refreshes == [401], "the second caller is not worth another call"
        row = MailCredentials.objects.get()
        assert row.status == Status.CONNECTED
        assert row.open_refresh_token() == expired.open_refresh_token()

        configure()
        assert toolkit.accepts(expired.refresh_now().reveal())
        assert kinds(expired)[-2:] == [EventKind.REFRESH_FAILED, EventKind.RECOVERED]
        assert MailCredentials.objects.get().get_access_token()
