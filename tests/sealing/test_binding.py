"""Values of django-fernet-fields' own field are bound by a command, and read unbound only where a setting says so."""

from __future__ import annotations

import pytest

from mail_oauth.encryption import keyring, new_key
from mail_oauth.exceptions import CredentialsUnreadable
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import MailCredentials
from mail_oauth.upkeep.rekey import bind_values, rotate_keys
from tests.sealing.blobs import overwrite, plain_fernet, raw

pytestmark = pytest.mark.django_db


def posts_of(provider, mailbox: MailCredentials) -> int:
    return len(provider.token_calls("refresh_token", email=mailbox.email))


def stored(mailbox: MailCredentials) -> MailCredentials:
    return MailCredentials.objects.get(pk=mailbox.pk)


@pytest.fixture
def plain(connect):
    """Makes a mailbox whose tokens the plain field wrote."""

    def make(**how) -> tuple[MailCredentials, str, str]:
        mailbox = connect(**how)
        access, refresh = mailbox.open_access_token().reveal(), mailbox.open_refresh_token().reveal()
        overwrite(mailbox, "access_token", plain_fernet(access))
        overwrite(mailbox, "refresh_token", plain_fernet(refresh))
        return mailbox, access, refresh

    return make


@pytest.fixture
def accepting(provider, settings):
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "ACCEPT_UNBOUND": True}


class TestWithoutTheSetting:
    def test_they_are_unreadable_which_is_told_and_costs_no_call(self, plain, provider):
        mailbox, *_ = plain()
        before = raw(mailbox, "refresh_token")
        with pytest.raises(CredentialsUnreadable, match="bind_values") as raised:
            mailbox.get_access_token()
        assert raised.value.reason == "unbound"
        assert stored(mailbox).status == Status.UNREADABLE
        kinds = list(mailbox.events.order_by("pk").values_list("kind", "reason"))
        assert (EventKind.UNREADABLE.value, "unbound") in kinds
        assert (EventKind.VALUE_REFUSED.value, "access_token_unbound") in kinds
        assert raw(mailbox, "refresh_token") == before
        assert posts_of(provider, mailbox) == 0

    def test_binding_them_heals_the_mailbox(self, plain, provider):
        mailbox, access, _ = plain()
        with pytest.raises(CredentialsUnreadable):
            mailbox.get_access_token()
        assert bind_values().resealed == 2
        assert mailbox.get_access_token().reveal() == access
        assert stored(mailbox).status == Status.CONNECTED
        assert posts_of(provider, mailbox) == 0


class TestWithTheSetting:
    def test_they_are_read(self, accepting, plain, provider):
        mailbox, access, refresh = plain()
        assert mailbox.get_access_token().reveal() == access
        assert stored(mailbox).open_refresh_token().reveal() == refresh
        assert posts_of(provider, mailbox) == 0

    def test_under_any_of_the_keys(self, accepting, plain, settings):
        mailbox, access, _ = plain()
        settings.FERNET_KEYS = [new_key(), *settings.FERNET_KEYS]
        assert mailbox.get_access_token().reveal() == access

    def test_a_refresh_binds_what_it_saves(self, accepting, plain):
        mailbox, *_ = plain(seconds_left=-10)
        mailbox.get_access_token()
        row = stored(mailbox)
        assert row.access_token.fingerprint == row.refresh_token.fingerprint == keyring().keys[0].fingerprint

    def test_rotation_binds_them_too(self, accepting, plain, settings):
        mailbox, access, refresh = plain()
        settings.FERNET_KEYS = [new_key(), *settings.FERNET_KEYS]
        assert rotate_keys().resealed == 2
        settings.FERNET_KEYS = settings.FERNET_KEYS[:1]
        row = stored(mailbox)
        assert (row.open_access_token().reveal(), row.open_refresh_token().reveal()) == (access, refresh)

    def test_cached_values_are_bound_all_the_same(self, accepting, locmem_cache, connect, provider):
        from django.core.cache import cache

        from mail_oauth.cache import Header, cache_key, read_raw, token_cache

        mailbox = connect()
        mailbox.get_access_token()
        key = cache_key(mailbox.pk, "mail")
        cache.set(key, Header.parse(read_raw(key)).bytes() + plain_fernet("a token of the attacker's"))
        assert token_cache.get(mailbox.pk) is None


class TestBinding:
    def test_takes_what_the_plain_field_really_wrote(self, notes, user, connect):
        """Its own field, its own ciphertext, moved over as a data migration would."""
        mailbox = connect()
        refresh = mailbox.open_refresh_token().reveal()
        note = notes.objects.create(title="from before", plain=refresh)
        overwrite(mailbox, "refresh_token", raw(note, "plain"))
        note.delete()
        assert bind_values().resealed == 1
        assert stored(mailbox).open_refresh_token().reveal() == refresh

    def test_leaves_bound_values_and_other_keys_alone(self, connect, settings):
        mailbox = connect()
        settings.FERNET_KEYS = [new_key(), *settings.FERNET_KEYS]
        before = raw(mailbox, "refresh_token")
        assert bind_values().resealed == 0
        assert raw(mailbox, "refresh_token") == before

    def test_names_what_no_key_opens_and_leaves_it(self, plain, connect, settings):
        mailbox, *_ = plain()
        clear = connect()
        overwrite(clear, "refresh_token", b"ya29.in-clear")
        settings.FERNET_KEYS = [new_key()]
        report = bind_values()
        assert (report.resealed, report.unreadable, report.ok) == (0, 3, False)
        assert f"mail_oauth_mailcredentials.refresh_token {mailbox.pk}: unbound" in report.named
        assert raw(clear, "refresh_token") == b"ya29.in-clear"

    def test_on_a_dry_run_only_counts(self, plain):
        mailbox, *_ = plain()
        before = raw(mailbox, "refresh_token")
        assert bind_values(dry_run=True).resealed == 2
        assert raw(mailbox, "refresh_token") == before

    def test_does_not_bind_a_value_that_was_stripped_of_its_label(self, connect):
        """It was sealed for another row, perhaps: bound to this one it would be a way to move it."""
        mailbox, other = connect(), connect()
        overwrite(mailbox, "refresh_token", raw(other, "refresh_token").split(b":", 2)[2])
        assert bind_values().unreadable == 1
        with pytest.raises(CredentialsUnreadable):
            stored(mailbox).refresh_now()
