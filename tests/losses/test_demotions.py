"""Mailboxes that were written off, or asked for without end, though nothing was wrong with their grants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from itertools import cycle

import pytest

from mail_oauth.exceptions import MailboxError, ProviderUnavailable, ReauthRequired
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.testing.faults import Fault
from mail_oauth.testing.provider import FakeProvider
from tests.losses.passing import pass_time, sweep, until_due

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def tokens() -> dict[object, object]:
    """Every refresh token, as it is stored."""
    return dict(MailCredentials.objects.values_list("pk", "refresh_token"))


def live_through(span: timedelta, each_tick: Callable[[], object] = sweep, *, tick: timedelta = MINUTE) -> None:
    """Let simulated time pass, from one tick of beat at which something is due to the next."""
    left = span
    while left > timedelta():
        step = until_due(left, tick=tick)
        pass_time(step)
        each_tick()
        left -= step


@pytest.fixture
def mailboxes(connect) -> list[MailCredentials]:
    """Four, all due."""
    return [connect(seconds_left=-10) for _ in range(4)]


def test_emailengine_38fa2120_a_dns_blip_marks_no_mailbox_bad(mailboxes, settings):
    """EmailEngine 38fa2120: while a name could not be resolved, every account became "bad credentials"."""
    right, before = settings.MAIL_OAUTH, tokens()
    nowhere = {**right["PROVIDERS"]["microsoft"], "AUTHORITY": "https://login.no-such-host.invalid"}
    settings.MAIL_OAUTH = {**right, "PROVIDERS": {"microsoft": nowhere}}
    report = sweep()
    assert (report.failed, report.held) == (3, 1), "after three mailboxes nobody knocks in vain"
    with pytest.raises(ProviderUnavailable, match="dns"):
        mailboxes[0].get_access_token()
    assert MailCredentials.objects.healthy().count() == 4
    found = set(MailCredentials.objects.values_list("last_refresh_error", "outcome_unknown"))
    assert found == {("dns", False), ("", False)}
    assert tokens() == before
    settings.MAIL_OAUTH = right
    pass_time(timedelta(minutes=3))
    assert sweep().refreshed == 4


def test_msal_net_2808_throttling_that_arrives_as_invalid_grant_is_a_pause(mailboxes, provider, posts):
    """MSAL.NET#2808: AADSTS50196 comes as invalid_grant, and users were sent to sign in again."""
    before = tokens()
    with provider.fault(Fault.oauth_error("invalid_grant", aadsts=50196)):
        sweep()
        for mailbox in mailboxes:
            with pytest.raises(ProviderUnavailable) as raised:
                mailbox.get_access_token()
            assert raised.value.retry_after > 300
    assert [posts(mailbox) for mailbox in mailboxes] == [1] * 4, "nobody asks again during the pause"
    assert (MailCredentials.objects.healthy().count(), tokens()) == (4, before)
    live_through(DAY / 2, tick=5 * MINUTE)
    assert MailCredentials.objects.filter(refresh_failures=0).count() == 4


@pytest.fixture
def secret_expires(provider: FakeProvider) -> Iterator[Callable[[], None]]:
    """The provider's registration gets another secret than the one in the settings, until the test ends it."""
    right = provider.client_secret

    def expire() -> None:
        provider.add_client(provider.client_id, "a secret that nobody put into the settings")

    yield expire
    provider.add_client(provider.client_id, right)


def test_n8n_22567_one_expired_client_secret_demotes_nobody(mailboxes, provider, secret_expires):
    """n8n#22567: with the app's secret every user's connection was gone. Here time alone puts it right."""
    before = tokens()
    provider.clear_calls()
    secret_expires()
    live_through(DAY / 6, tick=5 * MINUTE)
    for mailbox in mailboxes:
        with pytest.raises(ProviderUnavailable):
            mailbox.get_access_token()
    assert provider.token_calls("refresh_token", status=401), "the provider did refuse"
    assert (MailCredentials.objects.healthy().count(), tokens()) == (4, before)
    provider.add_client(provider.client_id, provider.client_secret)
    live_through(DAY / 8, tick=5 * MINUTE)
    assert MailCredentials.objects.filter(refresh_failures=0).count() == 4
    assert all(mailbox.get_access_token() for mailbox in mailboxes)


FAILURES = {
    "gateway": (Fault.html(502), 60),
    "silence": (Fault.close(), 60),
    "unknown error": (Fault.oauth_error("never_heard_of_it"), 8),
    "the administrator's turn": (Fault.oauth_error("invalid_grant", aadsts=53003), 8),
    "the operator's turn": (Fault.oauth_error("invalid_scope"), 60),
    "throttled": (Fault.rate_limited("3600"), 30),
    "loop": (Fault.oauth_error("invalid_grant", aadsts=50196), 8),
}


@pytest.mark.parametrize(("fault", "bound"), FAILURES.values(), ids=FAILURES)
def test_nango_5505_a_day_of_failures_is_a_small_number_of_calls(connect, provider, posts, fault, bound):
    """nango#5505: one connection that could not be refreshed caused 60,000 calls in a day."""
    mailbox = connect(seconds_left=-10)

    asking = cycle([mailbox.get_access_token, partial(MailCredentials.objects.get_access_token, mailbox.pk)])

    def everybody_wants_it() -> None:
        sweep()
        with pytest.raises(MailboxError):
            next(asking)()

    with provider.fault(fault):
        everybody_wants_it()
        live_through(DAY, everybody_wants_it)
    assert 3 <= posts(mailbox) <= bound


def test_nango_5505_after_the_users_turn_has_come_there_are_none(connect, provider, posts):
    mailbox = connect(seconds_left=-10)
    provider.revoke(mailbox.email)
    for act in (mailbox.get_access_token, mailbox.refresh_now):
        with pytest.raises(ReauthRequired):
            act()
    assert posts(mailbox) == 1
    for _ in range(24):
        pass_time(timedelta(hours=1))
        sweep()
        with pytest.raises(ReauthRequired):
            MailCredentials.objects.get_access_token(mailbox.pk)
    assert posts(mailbox) == 1
    assert MailCredentials.objects.get().status == Status.NEEDS_REAUTH
