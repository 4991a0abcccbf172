"""Tokens that cannot be opened are a state: nothing is lost, nobody is bothered, and a key that is back heals it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from mail_oauth.cache import token_cache
from mail_oauth.connect.disconnect import disconnect, retry_revocation
from mail_oauth.exceptions import ConfigurationError, CredentialsUnreadable, MailboxDisconnected
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import MailCredentials, ProviderFault, ProviderHealth, RefreshCount
from mail_oauth.providers import Revocation
from mail_oauth.upkeep.reconcile import reconcile_cache
from mail_oauth.upkeep.rekey import bind_values
from mail_oauth.upkeep.status import status_report
from mail_oauth.upkeep.sweep import refresh_batch
from tests.keys.conftest import posts_of
from tests.sealing.blobs import overwrite, plain_fernet, raw

pytestmark = pytest.mark.django_db


def stored(mailbox: MailCredentials) -> MailCredentials:
    return MailCredentials.objects.get(pk=mailbox.pk)


def kinds(mailbox: MailCredentials) -> list[str]:
    return [event.kind for event in mailbox.events.order_by("pk")]


def sweep() -> Any:
    MailCredentials.objects.make_due()
    return refresh_batch(revoke=lambda row: None, seconds=60)


@pytest.fixture
def heard():
    """Changes of status that were signalled."""
    from mail_oauth.signals import mailbox_status_changed

    told: list[tuple[str, str, str]] = []

    def hear(old_status: str, new_status: str, reason: str, **_: Any) -> None:
        told.append((str(old_status), str(new_status), reason))

    mailbox_status_changed.connect(hear)
    yield told
    mailbox_status_changed.disconnect(hear)


class TestAMissingKey:
    def test_is_named_to_the_caller_with_what_to_do(self, connect, keys):
        mailbox = connect(seconds_left=-10)
        [old] = keys.fingerprints
        keys.replace_all()
        for _ in range(2):
            with pytest.raises(CredentialsUnreadable, match=f"No key {old} in FERNET_KEYS: put it back") as raised:
                mailbox.get_access_token()
            assert raised.value.reason == "key_missing"
        with pytest.raises(CredentialsUnreadable, match=old):
            mailbox.refresh_now()

    def test_changes_the_status_once_whoever_comes(self, connect, keys, heard):
        mailbox = connect(seconds_left=-10)
        before = mailbox.generation
        keys.replace_all()
        for _ in range(3):
            with pytest.raises(CredentialsUnreadable):
                mailbox.get_access_token()
            assert sweep().failed == 1
        row = stored(mailbox)
        assert (row.status, row.status_reason, row.lease_owner) == (Status.UNREADABLE, "key_missing", "")
        assert kinds(mailbox) == [EventKind.UNREADABLE]
        assert heard == [("connected", "unreadable", "key_missing")]
        assert row.generation == before + 1

    def test_costs_no_call_no_token_and_no_lane(self, connect, keys, provider):
        rows = [connect(seconds_left=-10) for _ in range(5)]
        before = [(raw(row, "refresh_token"), raw(row, "access_token")) for row in rows]
        keys.replace_all()
        sweep()
        assert [(raw(row, "refresh_token"), raw(row, "access_token")) for row in rows] == before
        assert [posts_of(provider, row) for row in rows] == [0] * 5
        assert not ProviderHealth.objects.exists()
        assert not ProviderFault.objects.exists()
        assert not RefreshCount.objects.exists(), "no call was made, so none is counted"

    def test_is_looked_after_now_and_then_by_the_sweep(self, connect, keys):
        mailbox = connect(seconds_left=-10)
        keys.replace_all()
        sweep()
        wait = stored(mailbox).refresh_at - timezone.now()
        assert timedelta(minutes=25) < wait <= timedelta(hours=1)

    def test_is_counted(self, connect, keys):
        connect(seconds_left=-10)
        keys.replace_all()
        sweep()
        assert [(group.status, group.mailboxes) for group in status_report().groups] == [("unreadable", 1)]

    def test_leaves_others_alone(self, connect, keys):
        lost = connect(seconds_left=-10)
        keys.replace_all()
        found = connect(seconds_left=-10)
        report = sweep()
        assert (report.refreshed, report.failed) == (1, 1)
        assert stored(found).status == Status.CONNECTED
        assert stored(lost).status == Status.UNREADABLE

    def test_of_a_mailbox_whose_oauth_is_off_says_that_it_is_off(self, connect, keys):
        mailbox = connect(seconds_left=-10)
        keys.replace_all()
        sweep()
        MailCredentials.objects.update(use_oauth=False)
        with pytest.raises(MailboxDisconnected, match="switched off"):
            mailbox.get_access_token()


class TestTheKeyIsBack:
    @pytest.fixture
    def unreadable(self, connect, keys):
        """Makes a mailbox that became unreadable; it, and what brings its key back."""

        def make(**how: Any) -> tuple[MailCredentials, Any]:
            mailbox = connect(**how)
            put_back = keys.replace_all()
            with pytest.raises(CredentialsUnreadable):
                mailbox.refresh_now()
            return mailbox, put_back

        return make

    def test_the_next_caller_gets_the_token_at_once_and_the_mailbox_is_connected(
        self, locmem_cache, unreadable, provider, heard
    ):
        mailbox, put_back = unreadable()
        put_back()
        token = mailbox.get_access_token()
        assert provider.is_valid_access_token(token.reveal(), mailbox.email)
        assert posts_of(provider, mailbox) == 0, "its token was good all the time"
        row = stored(mailbox)
        assert (row.status, row.status_reason, row.last_refresh_error) == (Status.CONNECTED, "", "")
        assert kinds(mailbox) == [EventKind.UNREADABLE, EventKind.READABLE]
        assert heard[-1] == ("unreadable", "connected", "")
        assert token_cache.get(mailbox.pk) == token, "the tombstone gave way"
        assert row.refresh_at is not None
        assert row.refresh_at < row.token_expiry

    def test_a_caller_whose_token_has_expired_has_it_refreshed(self, unreadable, provider):
        mailbox, put_back = unreadable(seconds_left=-10)
        put_back()
        assert mailbox.get_access_token()
        assert posts_of(provider, mailbox) == 1
        assert stored(mailbox).status == Status.CONNECTED

    @pytest.mark.parametrize("ask", ["refresh_now", "report_rejected"])
    def test_so_has_one_who_asks_otherwise(self, unreadable, provider, ask):
        mailbox, put_back = unreadable()
        put_back()
        stale = mailbox.open_access_token()
        assert mailbox.refresh_now() if ask == "refresh_now" else mailbox.report_rejected(stale)
        assert posts_of(provider, mailbox) == 1
        assert stored(mailbox).status == Status.CONNECTED

    def test_the_sweep_heals_it_when_its_turn_comes(self, unreadable, provider, heard):
        mailbox, put_back = unreadable(seconds_left=-10)
        put_back()
        assert sweep().refreshed == 1
        assert stored(mailbox).status == Status.CONNECTED
        assert kinds(mailbox) == [EventKind.UNREADABLE, EventKind.RECOVERED]
        assert heard[-1][:2] == ("unreadable", "connected")

    def test_reconciliation_brings_its_turn_without_decrypting_anything(self, unreadable, monkeypatch):
        from mail_oauth.sealing import Keyring

        mailbox, put_back = unreadable()
        assert not MailCredentials.objects.due().exists()
        assert reconcile_cache().rescheduled == 0, "its key is still missing"
        put_back()
        monkeypatch.setattr(Keyring, "unseal_stored", lambda *_: pytest.fail("decrypted"))
        assert reconcile_cache(dry_run=True).rescheduled == 1
        assert not MailCredentials.objects.due().exists()
        assert reconcile_cache().rescheduled == 1
        assert MailCredentials.objects.due().get() == mailbox

    def test_what_was_altered_is_not_brought_forward_again_and_again(self, connect):
        mailbox = connect()
        overwrite(mailbox, "refresh_token", raw(mailbox, "refresh_token")[:-4])
        with pytest.raises(CredentialsUnreadable):
            mailbox.refresh_now()
        assert reconcile_cache().rescheduled == 0

    @pytest.mark.django_db(transaction=True)
    def test_inside_a_callers_transaction_the_token_is_given_out_and_the_row_left_alone(self, unreadable, heard):
        mailbox, put_back = unreadable()
        put_back()
        with transaction.atomic():
            assert mailbox.get_access_token()
            assert stored(mailbox).status == Status.UNREADABLE
        assert mailbox.get_access_token()
        assert stored(mailbox).status == Status.CONNECTED

    def test_a_worker_that_holds_it_is_not_disturbed(self, unreadable):
        mailbox, put_back = unreadable()
        put_back()
        row = stored(mailbox)
        claimed = MailCredentials.objects.claim(row.pk, generation=row.generation, force=True)
        assert mailbox.get_access_token(), "its token lives"
        assert stored(mailbox).lease_owner == claimed.lease_owner
        assert stored(mailbox).status == Status.UNREADABLE

    def test_the_reason_may_change_and_is_told_then(self, unreadable):
        mailbox, put_back = unreadable()
        put_back()
        overwrite(mailbox, "refresh_token", raw(mailbox, "refresh_token")[:-4])
        MailCredentials.objects.update(access_token=None)
        with pytest.raises(CredentialsUnreadable, match="backup"):
            mailbox.refresh_now()
        assert stored(mailbox).status_reason == "altered"
        assert kinds(mailbox) == [EventKind.UNREADABLE, EventKind.UNREADABLE]

    def test_a_user_who_connects_anew_meanwhile_is_connected(self, unreadable, provider, connect):
        from mail_oauth.managers.columns import token_changes
        from mail_oauth.managers.transitions import Transitions
        from mail_oauth.refresh.replies import parse_tokens

        mailbox, _ = unreadable()
        reply = provider.grant(mailbox.email, personality="microsoft", scope=mailbox.requested_scopes)
        row = stored(mailbox)
        changes = token_changes(row, parse_tokens(reply)) | {"status": Status.CONNECTED, "status_reason": ""}
        assert Transitions(MailCredentials.objects).apply(row, EventKind.RECONNECTED, changes)
        assert mailbox.get_access_token()


class TestARowOfWhichHalfOpens:
    @pytest.fixture
    def halves(self, connect, keys):
        """Makes a mailbox of which one token's key is missing."""

        def make(lost: str, **how: Any) -> MailCredentials:
            mailbox = connect(**how)
            other = "access_token" if lost == "refresh_token" else "refresh_token"
            secret = getattr(mailbox, f"open_{other}")()
            keys.replace_all()
            MailCredentials.objects.filter(pk=mailbox.pk).update(**{other: mailbox.sealed(other, secret)})
            return stored(mailbox)

        return make

    def test_the_refresh_token_does_so_it_is_refreshed(self, halves, provider):
        mailbox = halves("access_token")
        token = mailbox.get_access_token()
        assert provider.is_valid_access_token(token.reveal(), mailbox.email)
        assert posts_of(provider, mailbox) == 1
        assert kinds(mailbox) == [EventKind.REFRESHED]

    def test_the_access_token_does_so_it_is_given_out_while_it_lives_and_the_rest_is_told(self, halves, provider):
        mailbox = halves("refresh_token")
        token = mailbox.get_access_token()
        assert provider.is_valid_access_token(token.reveal(), mailbox.email)
        assert sweep().failed == 1
        assert stored(mailbox).status == Status.UNREADABLE
        assert kinds(mailbox) == [EventKind.UNREADABLE]
        for _ in range(3):
            assert mailbox.get_access_token() == token
        assert posts_of(provider, mailbox) == 0
        with pytest.raises(CredentialsUnreadable):
            mailbox.refresh_now()

    def test_and_no_longer_than_that(self, halves):
        mailbox = halves("refresh_token")
        sweep()
        mailbox.get_access_token()
        now = timezone.now()
        times = {"token_issued_at": now - timedelta(hours=1), "token_expiry": now + timedelta(seconds=5)}
        MailCredentials.objects.update(**times)
        token_cache.forget(mailbox.pk)
        with pytest.raises(CredentialsUnreadable):
            mailbox.get_access_token()

    def test_nor_to_one_who_needs_it_longer_than_it_lives(self, halves, provider):
        mailbox = halves("refresh_token", seconds_left=600)
        sweep()
        generation = stored(mailbox).generation
        with pytest.raises(CredentialsUnreadable):
            mailbox.get_access_token(min_validity=1200)
        assert stored(mailbox).generation == generation


class TestThePages:
    def test_of_users_ask_nobody_to_reconnect_what_waits_for_a_key(self, connect, keys, client, user):
        mailbox, working = connect(), connect()
        put_back = keys.replace_all()
        with pytest.raises(CredentialsUnreadable):
            mailbox.refresh_now()
        client.force_login(user)
        text = client.get("/mail/").content.decode()
        entry = {
            name: re.search(rf"<li[^>]*>(?:(?!</li>).)*{re.escape(name)}.*?</li>", text, re.DOTALL)[0]
            for name in (mailbox.email, working.email)
        }
        assert "the operators of this site must mend it" in entry[mailbox.email]
        assert "Reconnect" not in entry[mailbox.email]
        assert "Reconnect" in entry[working.email]
        put_back()
        mailbox.get_access_token()
        assert client.get("/mail/").content.decode().count("Reconnect:") == 2

    def test_of_users_leave_the_way_open_where_no_operator_can_help(self, connect, client, user):
        mailbox = connect()
        overwrite(mailbox, "refresh_token", raw(mailbox, "refresh_token")[:-4])
        with pytest.raises(CredentialsUnreadable):
            mailbox.refresh_now()
        client.force_login(user)
        assert "Reconnect" in client.get("/mail/").content.decode()

    def test_of_the_admin_name_the_key_and_what_to_do(self, connect, keys, admin_client):
        mailbox = connect()
        [old] = keys.fingerprints
        keys.replace_all()
        with pytest.raises(CredentialsUnreadable):
            mailbox.refresh_now()
        text = admin_client.get(f"/admin/mail_oauth/mailcredentials/{mailbox.pk}/change/").content.decode()
        assert "The stored tokens cannot be decrypted" in text
        assert "Its key is not in FERNET_KEYS: put it back" in text
        assert old in text
        assert "became unreadable" in text

    def test_of_the_admin_tell_a_value_that_is_bound_to_no_place(self, connect, admin_client):
        mailbox = connect()
        overwrite(mailbox, "refresh_token", plain_fernet("secret-in-the-column"))
        text = admin_client.get(f"/admin/mail_oauth/mailcredentials/{mailbox.pk}/change/").content.decode()
        assert "mail_oauth bind_values" in text
        assert "secret-in-the-column" not in text


class TestDisconnecting:
    def test_waits_for_the_key_to_revoke_the_grant(self, connect, keys, provider):
        mailbox = connect("google")
        put_back = keys.replace_all()
        assert disconnect(mailbox) is Revocation.FAILED
        row = stored(mailbox)
        assert (row.status, row.last_refresh_error) == (Status.DISCONNECTED, "key_missing")
        assert row.refresh_token is not None
        put_back()
        assert retry_revocation(row) is Revocation.REVOKED
        assert stored(mailbox).refresh_token is None

    def test_waits_for_the_source_of_the_keys_as_well(self, connect, settings, provider):
        mailbox, before, keys = connect("keycloak"), settings.MAIL_OAUTH, settings.FERNET_KEYS
        token = mailbox.open_refresh_token().reveal()
        settings.FERNET_KEYS, settings.MAIL_OAUTH = [], {**before, "KEYS_FILE": "/nowhere/keys"}
        assert disconnect(mailbox) is Revocation.FAILED
        row = stored(mailbox)
        assert (row.status, row.last_refresh_error) == (Status.DISCONNECTED, "configuration")
        assert row.refresh_token is not None
        assert row.refresh_at > timezone.now()
        settings.FERNET_KEYS, settings.MAIL_OAUTH = keys, before
        assert retry_revocation(row) is Revocation.REVOKED
        assert not provider.is_current_refresh_token(token)
        assert stored(mailbox).refresh_token is None

    def test_waits_for_bind_values_where_a_value_is_bound_to_no_place(self, connect, provider):
        mailbox = connect("keycloak")
        overwrite(mailbox, "refresh_token", plain_fernet(mailbox.open_refresh_token().reveal()))
        assert disconnect(stored(mailbox)) is Revocation.FAILED
        assert stored(mailbox).last_refresh_error == "unbound"
        bind_values()
        assert retry_revocation(stored(mailbox)) is Revocation.REVOKED

    def test_drops_what_will_never_open(self, connect):
        mailbox = connect("google")
        overwrite(mailbox, "refresh_token", raw(mailbox, "refresh_token")[:-4])
        assert disconnect(stored(mailbox)) is Revocation.FAILED
        assert stored(mailbox).refresh_token is None


def test_a_site_without_any_good_key_blames_no_mailbox_and_no_provider(connect, settings, provider):
    """A KMS that is away when a worker starts, a file that was emptied: it passes, and leaves no trace."""
    mailbox = connect(seconds_left=-10)
    before = settings.MAIL_OAUTH
    settings.FERNET_KEYS = []
    settings.MAIL_OAUTH = {**before, "KEYS_FILE": "/nowhere/keys"}
    with pytest.raises(ConfigurationError, match="KEYS_FILE"):
        mailbox.get_access_token()
    assert sweep().broken == 1
    row = stored(mailbox)
    assert (row.status, row.lease_owner, row.outcome_unknown) == (Status.CONNECTED, "", False)
    assert not ProviderHealth.objects.exists()
    assert posts_of(provider, mailbox) == 0
