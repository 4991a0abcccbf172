"""Disconnecting ends what it should, all of it, and nothing of another mailbox."""

from __future__ import annotations

import pytest

from mail_oauth.connect import disconnect as disconnecting
from mail_oauth.connect.disconnect import disconnect, retry_revocation
from mail_oauth.exceptions import MailboxDisconnected
from mail_oauth.managers.transitions import Transitions
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.providers import Revocation
from mail_oauth.refresh.engine import refresh
from mail_oauth.refresh.replies import parse_tokens
from mail_oauth.upkeep.sweep import refresh_batch
from tests.concurrency import meanwhile

pytestmark = pytest.mark.django_db


def aged(row):
    """Make a row due now."""
    MailCredentials.objects.filter(pk=row.pk).update(refresh_at="2000-01-01T00:00:00Z")


def test_a_process_that_dies_while_the_provider_is_asked(connect, monkeypatch):
    """The token is not left for ever in a row that says it is gone: the sweep finishes."""
    row = connect("keycloak")

    def die(*_args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(disconnecting, "_ask", die)
        with pytest.raises(KeyboardInterrupt):
            disconnect(row)
    row.refresh_from_db()
    assert row.status == Status.DISCONNECTED
    assert row.refresh_at is not None
    aged(row)
    assert refresh_batch(revoke=retry_revocation).revocations == 1
    row.refresh_from_db()
    assert (row.refresh_token, row.refresh_at) == (None, None)


@pytest.mark.django_db(transaction=True)
def test_the_sweep_does_not_ask_twice_while_a_disconnect_is_under_way(connect, provider, separate_connections):
    row, due = connect("keycloak"), []
    with provider.fault(meanwhile(lambda: due.append(MailCredentials.objects.due().count())), endpoint="revoke"):
        disconnect(row)
    assert due == [0]


class TestOneGrantForSeveralMailboxes:
    def test_of_two_aliases_of_one_project(self, connect, settings):
        """Google revokes for all clients of a project: the other alias's mailbox would die with this one."""
        providers = settings.MAIL_OAUTH["PROVIDERS"]
        second = {**providers["google"], "CLASS": "google"}
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROVIDERS": {**providers, "google-2": second}}
        issuer = "https://accounts.google.com"
        first = connect("google", email="ada@example.com", issuer=issuer)
        other = MailCredentials.objects.create(
            user=first.user, provider="google-2", email=first.email, issuer=issuer, subject=first.subject
        )
        assert disconnect(first) is Revocation.KEPT
        assert other.status == Status.CONNECTED

    def test_of_another_issuer_with_the_same_subject(self, connect, other_user):
        """Subjects are an issuer's own: a stranger's number does not keep this grant alive."""
        row = connect("google", email="ada@example.com")
        connect("keycloak", owner=other_user, subject=row.subject, issuer="https://elsewhere.example")
        assert disconnect(row) is Revocation.REVOKED


def test_a_refresh_that_ends_after_the_disconnect_brings_nothing_back(connect, provider):
    row = connect("keycloak", seconds_left=-60)
    claimed = MailCredentials.objects.claim(row.pk, generation=row.generation)
    disconnect(MailCredentials.objects.get(pk=row.pk))
    fields = provider.grant(row.email, personality="oidc", scope=row.requested_scopes)
    assert Transitions(MailCredentials.objects).save_tokens(claimed, parse_tokens(fields)) is None
    row.refresh_from_db()
    assert (row.status, row.access_token) == (Status.DISCONNECTED, None)
    with pytest.raises(MailboxDisconnected):
        row.get_access_token()
    # The refresh token that came too late lives at the provider. It is kept for one purpose, and then goes as well.
    late = row.open_refresh_token().reveal()
    refresh_batch(revoke=retry_revocation)
    row.refresh_from_db()
    assert (row.status, row.refresh_token, row.refresh_at) == (Status.DISCONNECTED, None, None)
    assert not provider.is_current_refresh_token(late)


def test_a_refresh_that_ends_after_a_reconnect_does_not_overwrite_it(surfer, provider):
    surfer.connect("keycloak")
    row = MailCredentials.objects.get()
    claimed = MailCredentials.objects.claim(row.pk, generation=row.generation, force=True)
    old = row.open_refresh_token()
    surfer.connect("keycloak")
    assert claimed.open_refresh_token() == old
    assert refresh(claimed, Transitions(MailCredentials.objects)).token is None
    row.refresh_from_db()
    assert row.open_refresh_token() != old
    assert row.status == Status.CONNECTED
    assert provider.is_current_refresh_token(row.open_refresh_token().reveal())
