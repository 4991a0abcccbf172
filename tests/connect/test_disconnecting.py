"""A disconnected mailbox is gone at once here, and at the provider as far as it lets us."""

from __future__ import annotations

import pytest
from django.urls import reverse
from django.utils import timezone

from mail_oauth import parking
from mail_oauth.connect.disconnect import REVOCATION_ATTEMPTS, disconnect, retry_revocation
from mail_oauth.connect.switch import pause, resume
from mail_oauth.exceptions import MailboxDisconnected
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import MailCredentials
from mail_oauth.parking import ParkedPair
from mail_oauth.providers import Revocation
from mail_oauth.refresh.engine import spend
from mail_oauth.signals import mailbox_disconnected
from mail_oauth.testing.faults import Fault
from tests.mailboxes import stored

pytestmark = pytest.mark.django_db


def test_the_user_disconnects_and_is_told(surfer):
    surfer.connect("keycloak")
    row = MailCredentials.objects.get()
    token = row.get_access_token()
    url = reverse("mail_oauth:disconnect", args=[row.pk])
    assert surfer.client.get(url).status_code == 200
    assert MailCredentials.objects.get().status == Status.CONNECTED  # asking changes nothing
    page = surfer.client.post(url, follow=True)
    assert b"has withdrawn this site" in page.content
    row.refresh_from_db()
    assert row.status == Status.DISCONNECTED
    assert row.access_token is None
    assert row.refresh_token is None
    assert not surfer.provider.is_valid_access_token(token.reveal())


@pytest.mark.parametrize(
    ("alias", "result"),
    [
        ("keycloak", Revocation.REVOKED),
        ("google", Revocation.REVOKED),
        ("plain", Revocation.REVOKED),
        ("microsoft", Revocation.UNSUPPORTED),
    ],
)
def test_the_result_is_honest(connect, alias, result):
    row = connect(alias)
    assert disconnect(row) is result
    assert MailCredentials.objects.get(pk=row.pk).refresh_token is None


def test_no_token_is_given_any_more(connect):
    row = connect()
    row.get_access_token()
    disconnect(row)
    for mailbox in (row, MailCredentials.objects.get(pk=row.pk)):
        with pytest.raises(MailboxDisconnected):
            mailbox.get_access_token()


def test_googles_revocation_spares_another_mailbox_of_the_account(connect, other_user):
    first = connect("google", email="shared@example.com")
    second = connect("google", email="shared@example.com", owner=other_user, subject=first.subject)
    assert disconnect(first) is Revocation.KEPT
    assert disconnect(second) is Revocation.REVOKED


def test_a_dead_grant_counts_as_revoked(connect, provider):
    row = connect("google")
    provider.revoke(row.email)
    assert disconnect(row) is Revocation.REVOKED


class Test73TheRevocationEndpointFails:
    def test_it_is_down_and_tried_again(self, connect, provider):
        row = connect("keycloak")
        with provider.fault(Fault.html(503), endpoint="revoke"):
            assert disconnect(row) is Revocation.FAILED
        row.refresh_from_db()
        assert row.status == Status.DISCONNECTED
        assert row.access_token is None
        assert row.refresh_at is not None
        assert row.events.filter(kind=EventKind.REVOCATION_FAILED).exists()
        assert retry_revocation(row) is Revocation.REVOKED
        row.refresh_from_db()
        assert (row.refresh_token, row.refresh_at) == (None, None)

    def test_what_is_tried_again_is_the_token_that_was_parked(self, connect, provider, locmem_cache):
        """The database was away when it came: the provider may have ended the one that the row has."""
        row = connect("keycloak")
        rotated, _ = spend(row, row.open_refresh_token())
        parking.park(row.pk, ParkedPair.of(1, row.open_refresh_token(), rotated.tokens, timezone.now()))
        with provider.fault(Fault.html(503), endpoint="revoke"):
            disconnect(row)
        assert stored(row).open_refresh_token() == rotated.tokens.refresh_token
        assert retry_revocation(stored(row)) is Revocation.REVOKED
        assert not provider.is_valid_access_token(rotated.tokens.access_token.reveal())

    def test_it_says_400(self, connect, provider):
        row = connect("keycloak")
        with provider.fault(Fault.oauth_error("unsupported_token_type", status=400), endpoint="revoke"):
            assert disconnect(row) is Revocation.FAILED
        row.refresh_from_db()
        assert (row.status, row.refresh_token, row.refresh_at) == (Status.DISCONNECTED, None, None)

    def test_the_token_is_dropped_in_the_end(self, connect, provider):
        row = connect("keycloak")
        with provider.fault(Fault.html(503), endpoint="revoke"):
            disconnect(row)
            for _ in range(REVOCATION_ATTEMPTS):
                row.refresh_from_db()
                if row.refresh_at is None:
                    break
                retry_revocation(row)
        row.refresh_from_db()
        assert (row.refresh_token, row.refresh_at) == (None, None)

    def test_the_provider_is_no_longer_configured(self, connect, settings):
        row = connect("keycloak")
        settings.MAIL_OAUTH = {"PROVIDERS": {}}
        assert disconnect(row) is Revocation.UNSUPPORTED

    @pytest.mark.parametrize("alias", ["keycloak", "google"])
    def test_a_retry_never_touches_a_mailbox_that_was_connected_again(self, surfer, provider, alias):
        """Google ends the whole account's grant, and so the new one: the retry was for the old one."""
        surfer.connect(alias)
        row = MailCredentials.objects.get()
        with provider.fault(Fault.html(503), endpoint="revoke"):
            disconnect(row)
        stale = MailCredentials.objects.get()
        surfer.connect(alias)
        retry_revocation(stale)
        row.refresh_from_db()
        assert row.status == Status.CONNECTED
        assert provider.is_current_refresh_token(row.open_refresh_token().reveal())
        assert row.get_access_token()


def test_one_signal_and_one_event(connect, other_user):
    row, heard = connect(), []
    mailbox_disconnected.connect(receiver := lambda **kwargs: heard.append(kwargs["credentials"].pk))
    disconnect(row, actor=other_user)
    assert heard == [row.pk]
    event = row.events.get(kind=EventKind.DISCONNECTED)
    assert event.actor == other_user
    del receiver


def test_pausing_keeps_the_tokens_and_refuses_access(connect):
    row = connect()
    row.get_access_token()
    assert pause(row)
    row.refresh_from_db()
    assert not pause(row)
    assert row.refresh_token is not None
    assert row.refresh_at is None
    with pytest.raises(MailboxDisconnected, match="resume"):
        row.get_access_token()
    assert resume(row)
    row.refresh_from_db()
    assert row.get_access_token()
    assert row.refresh_at is not None


def test_a_grant_that_an_imported_mailbox_of_the_address_may_live_on_stays(connect):
    """Nobody knows whose account that is, and Google would end them all."""
    row = connect("google", email="both@example.com")
    MailCredentials.objects.filter(pk=connect("google").pk).update(email="BOTH@example.com", issuer="", subject="")
    assert disconnect(row) is Revocation.KEPT


def test_of_an_imported_mailbox_alone_it_is_revoked(connect):
    assert disconnect(connect("google", issuer="", subject="")) is Revocation.REVOKED
