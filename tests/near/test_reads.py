"""A token that was read a moment ago is there at once, and never against what this process knows."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail_oauth.cache import token_cache
from mail_oauth.connect.disconnect import disconnect
from mail_oauth.connect.linking import link
from mail_oauth.connect.switch import pause, resume
from mail_oauth.exceptions import ConfigurationError, MailboxDisconnected, ProviderUnavailable, ReauthRequired
from mail_oauth.managers.columns import token_changes
from mail_oauth.managers.transitions import Transitions
from mail_oauth.managers.vocabulary import EventKind
from mail_oauth.models import ConnectAttempt, MailCredentials
from mail_oauth.refresh.replies import parse_tokens
from mail_oauth.tokens import Identity

pytestmark = pytest.mark.django_db


def read(mailbox: MailCredentials, **how):
    return MailCredentials.objects.get_access_token(mailbox.pk, **how)


@pytest.fixture
def mailbox(connect, near):
    """A mailbox whose token is near: read twice, from the row and from the cache."""
    made = connect()
    read(made)
    read(made)
    assert near.get(made.pk) is not None
    return made


@pytest.fixture
def asked(monkeypatch) -> list[object]:
    """Grows whenever the shared cache is asked for a token."""
    keys: list[object] = []
    get = token_cache.get
    monkeypatch.setattr(type(token_cache), "get", lambda self, *about: keys.append(about) or get(*about))
    return keys


class TestAHit:
    def test_asks_neither_database_nor_cache(self, mailbox, near, asked):
        with CaptureQueriesContext(connection) as captured:
            tokens = [read(mailbox), mailbox.get_access_token(), read(mailbox, min_validity=10)]
        assert captured.captured_queries == []
        assert asked == []
        assert all(token is near.get(mailbox.pk) for token in tokens)

    def test_comes_after_the_row_and_after_the_cache(self, connect, near, asked):
        mailbox = connect()
        assert read(mailbox) is near.get(mailbox.pk), "read from the row"
        near.clear()
        assert read(mailbox) is near.get(mailbox.pk), "read from the cache"
        assert len(asked) == 2

    def test_is_awaited_without_a_thread(self, mailbox, near):
        for awaited in (mailbox.aget_access_token(), MailCredentials.objects.aget_access_token(mailbox.pk)):
            with pytest.raises(StopIteration) as ended:
                awaited.send(None)
            assert ended.value.value is near.get(mailbox.pk)

    def test_is_awaited_with_one_where_there_is_none(self, mailbox, near):
        near.clear()
        assert async_to_sync(mailbox.aget_access_token)() is near.get(mailbox.pk)

    def test_is_of_the_one_resource(self, mailbox):
        for get in (mailbox.get_access_token, lambda **how: read(mailbox, **how)):
            with pytest.raises(ConfigurationError):
                get(resource="graph")

    def test_needs_no_cache_at_all(self, connect, near, settings):
        dummy = {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}
        settings.CACHES = {**settings.CACHES, "default": dummy}
        mailbox = connect()
        token = read(mailbox)
        with CaptureQueriesContext(connection) as captured:
            assert read(mailbox) is token
        assert captured.captured_queries == []


class TestSwitchedOff:
    def test_every_read_asks_the_cache(self, connect, settings, near, asked):
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "NEAR_CACHE_SECONDS": 0}
        mailbox = connect()
        for _ in range(3):
            read(mailbox)
        assert len(asked) == 3
        assert len(near) == 0

    def test_it_is_where_keys_may_tell_tenants_apart(self, connect, settings, near, asked):
        tenants = {
            **settings.CACHES["default"],
            "KEY_FUNCTION": "django.core.cache.backends.base.default_key_func",
        }
        settings.CACHES = {**settings.CACHES, "default": tenants}
        mailbox = connect()
        for _ in range(3):
            read(mailbox)
        assert len(asked) == 3
        assert len(near) == 0


class TestHowLongATokenMustLive:
    @pytest.mark.parametrize(
        ("left", "wanted", "refreshed"),
        [
            (2000, 1900, False),
            (2000, 2100, True),
            (2890, 10**9, False),  # four fifths of the lifetime are the most that can be asked for
            (2870, 10**9, True),
            (2000, 0, False),
            (2000, -100, False),
        ],
    )
    def test_is_asked_of_a_copy_as_of_any_other(self, connect, near, posts, left, wanted, refreshed):
        mailbox = connect(seconds_left=left)
        first = read(mailbox)
        assert near.get(mailbox.pk) is first
        assert (read(mailbox, min_validity=wanted) is not first) == refreshed
        assert posts(mailbox) == refreshed
        assert (mailbox.get_access_token(min_validity=wanted) != first) == refreshed

    def test_is_more_than_a_token_inside_its_margin_has(self, connect, near):
        mailbox = connect(seconds_left=200)
        read(mailbox)
        read(mailbox)
        assert near.get(mailbox.pk) is None

    def test_ends_a_copy_when_its_token_enters_the_margin(self, connect, near, asked, later):
        mailbox = connect(seconds_left=320)
        assert read(mailbox) is near.get(mailbox.pk)
        later(20)
        assert near.get(mailbox.pk) is None
        read(mailbox)
        assert len(asked) == 2
        assert mailbox in MailCredentials.objects.due(), "and it is refreshed"

    def test_ends_a_copy_where_there_is_no_margin(self, connect, near, settings, later):
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "REFRESH_MARGIN": 0}
        mailbox = connect(seconds_left=80)
        assert read(mailbox) is near.get(mailbox.pk)
        later(20)
        assert near.get(mailbox.pk) is None


class TestWhatThisProcessDoes:
    """is known to the next read."""

    def test_a_refresh(self, mailbox):
        new = mailbox.refresh_now()
        assert read(mailbox) == new

    def test_a_refresh_while_the_cache_is_down(self, mailbox, settings):
        settings.CACHES = {**settings.CACHES, "default": {"BACKEND": "tests.near.broken.BrokenCache"}}
        old = read(mailbox)
        assert old == read(mailbox)
        new = mailbox.refresh_now()
        assert new != old
        assert read(mailbox) == new

    def test_many_tokens_that_are_stored_at_once(self, mailbox, near):
        newer = mailbox.open_access_token()
        newer.generation += 1
        token_cache.put_many({mailbox.pk: newer})
        assert near.get(mailbox.pk) is None
        assert read(mailbox).generation == newer.generation

    def test_a_disconnect(self, mailbox):
        disconnect(mailbox)
        with pytest.raises(MailboxDisconnected):
            read(mailbox)

    def test_a_pause_and_its_end(self, mailbox):
        token = read(mailbox)
        pause(mailbox)
        with pytest.raises(MailboxDisconnected):
            read(mailbox)
        mailbox.refresh_from_db()
        resume(mailbox)
        assert read(mailbox) == token

    @pytest.mark.django_db(transaction=True)
    def test_a_deletion(self, mailbox, user):
        pk = mailbox.pk
        user.delete()
        with pytest.raises(MailCredentials.DoesNotExist):
            MailCredentials.objects.get_access_token(pk)

    def test_a_refused_grant(self, mailbox, provider):
        provider.revoke(mailbox.email)
        with pytest.raises(ReauthRequired):
            mailbox.refresh_now()
        with pytest.raises(ReauthRequired):
            read(mailbox)

    @pytest.mark.parametrize("before", ["connected", "disconnected"])
    def test_a_reconnect(self, mailbox, user, provider, before):
        old = read(mailbox)
        if before == "disconnected":
            disconnect(mailbox)
        account = Identity(issuer=mailbox.issuer, subject=mailbox.subject, email=mailbox.email)
        attempt = ConnectAttempt(user=user, provider="microsoft", replaces=mailbox)
        attempt.requested_scopes = mailbox.requested_scopes
        grant = provider.grant(mailbox.email, personality="microsoft", scope=mailbox.requested_scopes)
        row = link(attempt, parse_tokens(grant), account)
        assert read(mailbox) == row.open_access_token() != old

    def test_a_rejected_token(self, mailbox, near, posts):
        rejected = read(mailbox)
        new = mailbox.report_rejected(rejected)
        assert new != rejected
        assert read(mailbox) == new
        with pytest.raises(ProviderUnavailable):
            mailbox.report_rejected(new)
        assert near.get(mailbox.pk) is None
        assert posts(mailbox) == 1

    def test_a_poisoned_cache(self, mailbox, near):
        token_cache.forget(mailbox.pk)
        assert near.get(mailbox.pk) is None


class TestWhatAnotherProcessDoes:
    def test_is_not_known_before(self, mailbox, elsewhere):
        token = read(mailbox)
        with elsewhere():
            disconnect(mailbox)
        assert read(mailbox) is token

    def test_is_known_once_the_copy_is_old(self, mailbox, near, elsewhere, later):
        token = read(mailbox)
        with elsewhere():
            disconnect(mailbox)
            with pytest.raises(MailboxDisconnected):
                read(mailbox)
        assert near.get(mailbox.pk) is token, "it may be given out a little longer"
        later(60)
        with pytest.raises(MailboxDisconnected):
            read(mailbox)

    def test_is_known_at_once_to_who_reports_a_rejection(self, mailbox, elsewhere, posts):
        old = read(mailbox)
        with elsewhere():
            new = mailbox.refresh_now()
        assert read(mailbox) is old
        assert mailbox.report_rejected(old) == new
        assert read(mailbox) == new
        assert posts(mailbox) == 1


class RolledBack(Exception):
    pass


@pytest.mark.django_db(transaction=True)
class TestInACallersTransaction:
    def replaced(self, mailbox, provider) -> None:
        """Give the mailbox another pair, as the caller's transaction will: not committed."""
        grant = provider.grant(mailbox.email, personality="microsoft", scope=mailbox.requested_scopes)
        row = MailCredentials.objects.get(pk=mailbox.pk)
        changes = token_changes(row, parse_tokens(grant))
        assert Transitions(MailCredentials.objects).apply(row, EventKind.RECONNECTED, changes)

    def test_what_is_rolled_back_was_kept_nowhere(self, mailbox, near, provider):
        old = read(mailbox)
        with suppress(RolledBack), transaction.atomic():
            self.replaced(mailbox, provider)
            token_cache.forget(mailbox.pk)
            uncommitted = read(mailbox)
            assert uncommitted != old, "the caller sees its own changes"
            assert near.get(mailbox.pk) is None
            assert token_cache.get(mailbox.pk) is None
            raise RolledBack
        assert read(mailbox) == old
        assert token_cache.get(mailbox.pk) == old

    def test_what_is_committed_is_cached_then(self, mailbox, provider):
        with transaction.atomic():
            self.replaced(mailbox, provider)
            token_cache.forget(mailbox.pk)
            token = read(mailbox)
            assert token_cache.get(mailbox.pk) is None
        assert token_cache.get(mailbox.pk) == token == read(mailbox)

    def test_a_hit_is_a_hit(self, mailbox, near, asked):
        with transaction.atomic():
            assert read(mailbox) is near.get(mailbox.pk)
        assert asked == []

    def test_a_cached_token_becomes_one(self, mailbox, near):
        near.clear()
        with transaction.atomic():
            assert read(mailbox) is near.get(mailbox.pk)


def test_times_are_those_of_the_token(mailbox):
    token = read(mailbox)
    assert abs(token.seconds_left(timezone.now()) - 3600) < 60
    assert token.expires_at - token.issued_at == timedelta(hours=1)
