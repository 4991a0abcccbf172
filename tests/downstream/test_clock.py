"""The clock of the kit goes forward for everything of this app that reads a wall clock, the database included."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from mail_oauth.exceptions import ReauthRequired
from mail_oauth.managers.clock import DatabaseNow
from mail_oauth.models import MailCredentials
from mail_oauth.tasks import refresh_batch

pytestmark = pytest.mark.django_db


def on_the_database() -> datetime:
    return User.objects.annotate(now=DatabaseNow()).values_list("now", flat=True)[0]


@pytest.mark.parametrize("seconds", [90, 7200, 40 * 86400])
def test_it_goes_forward_here_and_in_the_database(user, mail_oauth_clock, seconds):
    true = datetime.now(UTC)
    before = on_the_database()
    mail_oauth_clock.advance(seconds)
    assert timezone.now() - true >= timedelta(seconds=seconds)
    assert mail_oauth_clock.now() - true >= timedelta(seconds=seconds)
    assert on_the_database() - before >= timedelta(seconds=seconds)


def test_it_is_the_true_time_again_when_the_test_is_over(user):
    from mail_oauth.testing.clock import moved_clock

    before = datetime.now(UTC)
    with moved_clock() as clock:
        clock.advance(86400)
    assert on_the_database() - before < timedelta(hours=1)
    assert abs(timezone.now().timestamp() - time.time()) < 3600


def test_what_fell_due_is_refreshed(connect, provider, posts, mail_oauth_clock):
    mailbox = connect()
    refresh_batch()
    assert posts(mailbox) == 0
    mail_oauth_clock.advance(3400)
    assert list(MailCredentials.objects.due()) == [mailbox]
    refresh_batch()
    assert posts(mailbox) == 1
    assert list(MailCredentials.objects.due()) == []


def test_a_lease_ends(connect, mail_oauth_clock):
    mailbox = connect(seconds_left=-1)
    assert [row.pk for row in MailCredentials.objects.claim_due(5)] == [mailbox.pk]
    assert not MailCredentials.objects.due().exists()
    mail_oauth_clock.advance(3600)
    assert MailCredentials.objects.due().exists()


def test_a_cached_token_is_believed_no_longer(connect, provider, settings, mail_oauth_clock):
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "NEAR_CACHE_SECONDS": 30}
    mailbox = connect()
    first = MailCredentials.objects.get_access_token(mailbox.pk)
    assert MailCredentials.objects.get_access_token(mailbox.pk).reveal() == first.reveal()
    mail_oauth_clock.advance(3601)
    assert not provider.is_valid_access_token(first.reveal()), "the provider has the same time"
    assert MailCredentials.objects.get_access_token(mailbox.pk).reveal() != first.reveal()


def test_real_seconds_go_on_as_they_were(mail_oauth_clock):
    before = time.monotonic()
    mail_oauth_clock.advance(86400)
    assert time.monotonic() - before < 3600


def test_it_does_not_go_back(mail_oauth_clock):
    with pytest.raises(ValueError, match="only goes forward"):
        mail_oauth_clock.advance(-1)


def agree() -> bool:
    """Whether this process and the database have the same time."""
    return abs(on_the_database() - datetime.now(UTC)) < timedelta(minutes=10)


def test_a_process_has_one_clock(user, mail_oauth_clock):
    from mail_oauth.testing.clock import moved_clock

    mail_oauth_clock.advance(3600)
    before = mail_oauth_clock.now()
    with moved_clock() as inner:
        inner.advance(timedelta(days=1))
        mail_oauth_clock.advance(86400)
        assert mail_oauth_clock.now() - before >= timedelta(days=2)
        assert agree()
    assert mail_oauth_clock.now() - before >= timedelta(days=2)
    assert agree()


def test_it_goes_on_from_where_time_machine_is(user):
    import time_machine

    from mail_oauth.testing.clock import moved_clock

    true = datetime.now(UTC)
    with time_machine.travel(true + timedelta(days=2)), moved_clock() as clock:
        clock.advance(3600)
        assert on_the_database() - true > timedelta(days=2)
        assert agree()
        with time_machine.travel(true + timedelta(days=9)):
            assert agree()


@pytest.mark.parametrize(("alias", "days"), [("microsoft", 90), ("google", 180)])
def test_a_grant_that_nobody_uses_ends(connect_mailbox, fake_provider, mail_oauth_clock, alias, days):
    used, idle = connect_mailbox(alias=alias), connect_mailbox(alias=alias)
    mail_oauth_clock.advance(timedelta(days=days - 1))
    used.get_access_token()
    mail_oauth_clock.advance(timedelta(days=1, seconds=1))
    assert (fake_provider.living_grants(used.email), fake_provider.living_grants(idle.email)) == (1, 0)
    assert used.get_access_token()
    with pytest.raises(ReauthRequired):
        idle.get_access_token()
