"""Odd replies of a token endpoint, all the way into the row (17 to 23 and 31 of `tests/losses/faults.py`)."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail_oauth.exceptions import ProviderUnavailable
from mail_oauth.models import CredentialEvent, MailCredentials
from mail_oauth.refresh.replies import MAX_TOKEN
from mail_oauth.testing.faults import Fault
from tests.mailboxes import stored

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("fault", [Fault.reply_without("refresh_token"), *(Fault.reply_with(refresh_token=odd) for odd in ("", None))], ids=["17 absent", "18 empty", "18 null"])  # fmt: skip
def test_17_and_18_without_a_new_refresh_token_the_old_one_stays_and_works(connect, provider, fault):
    provider.configure(rotate=False)
    mailbox = connect("keycloak", seconds_left=-10)
    provider.fail_next(1, fault)
    assert mailbox.get_access_token()
    assert stored(mailbox).open_refresh_token() == mailbox.open_refresh_token()
    assert mailbox.refresh_now()


def test_19_pair_and_expiry_are_written_by_one_statement(connect):
    mailbox = connect("keycloak", seconds_left=-10)
    with CaptureQueriesContext(connection) as queries:
        mailbox.get_access_token()
    writes = [
        query["sql"] for query in queries if "refresh_token" in query["sql"] and query["sql"][:6] == "UPDATE"
    ]
    assert len(writes) == 1
    assert all(name in writes[0] for name in ("access_token", "token_expiry", "token_issued_at", "generation"))


@pytest.mark.parametrize("size", [16 * 1024, 64 * 1024, MAX_TOKEN])
def test_21_long_tokens_are_stored_and_given_out_whole(connect, provider, locmem_cache, size):
    mailbox = connect("keycloak", seconds_left=-10)
    access, refresh = "a" * size, "r" * size
    provider.fail_next(1, Fault.reply_with(access_token=access, refresh_token=refresh))
    assert mailbox.get_access_token().reveal() == access
    assert stored(mailbox).open_refresh_token().reveal() == refresh
    assert MailCredentials.objects.get_access_token(mailbox.pk).reveal() == access, "from the cache as well"


def test_21_one_over_the_cap_is_refused_not_cut(connect, provider):
    mailbox = connect("keycloak", seconds_left=-10)
    provider.fail_next(1, Fault.reply_with(access_token="a" * (MAX_TOKEN + 1)))
    with pytest.raises(ProviderUnavailable, match="no_access_token"):
        mailbox.get_access_token()
    assert stored(mailbox).access_token == mailbox.access_token


@pytest.mark.parametrize(
    ("odd", "seconds"),
    [("3599", 3599), (None, 600), (float("nan"), 600), (True, 600), ([60], 600), (0, 10), (-1, 10), (1e30, 86400)],
    ids=repr,
)
def test_22_an_odd_lifetime_makes_neither_a_storm_nor_an_eternal_token(connect, provider, posts, odd, seconds):
    mailbox = connect("keycloak", seconds_left=-10)
    provider.fail_next(1, Fault.reply_with(expires_in=odd))
    assert len({mailbox.get_access_token().reveal() for _ in range(5)}) == 1
    assert posts(mailbox) == 1
    row = stored(mailbox)
    assert (row.token_expiry - timezone.now()).total_seconds() == pytest.approx(seconds, abs=5)
    assert row.refresh_at > timezone.now()


@pytest.mark.parametrize("status", [502, 503])
def test_31_a_gateways_page_is_stored_nowhere(connect, provider, caplog, status):
    mailbox = connect(seconds_left=-10)
    provider.fail_next(1, Fault.html(status))
    with pytest.raises(ProviderUnavailable) as raised:
        mailbox.get_access_token()
    row = MailCredentials.objects.values().get()
    events = list(CredentialEvent.objects.values())
    logged = [vars(record) for record in caplog.records]
    everything = f"{row} {events} {logged} {raised.value} {vars(raised.value)}".lower()
    assert f"http_{status}" in everything
    assert "bad gateway" not in everything
    assert "<h" not in everything
