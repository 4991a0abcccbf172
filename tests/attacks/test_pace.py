"""A user begins to connect only so often an hour: counted in the database, one by one, whatever else is lost."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from mail_oauth.connect.attempts import MOST_AT_ONCE
from mail_oauth.models import ConnectAttempt, ConnectPace, MailCredentials
from mail_oauth.upkeep.prune import prune_events
from tests.concurrency import closing, together
from tests.losses.passing import pass_time

pytestmark = pytest.mark.django_db

START = "/mail/connect/microsoft/"


@pytest.fixture
def pace(provider, settings):
    def pace(per_hour):
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "CONNECT_STARTS_PER_HOUR": per_hour}

    return pace


def starts(browser, number: int, alias: str = "microsoft") -> list[int]:
    url = reverse("mail_oauth:start", args=[alias])
    return [browser.client.post(url).status_code for _ in range(number)]


def test_so_many_at_once_and_no_more(surfer, pace):
    pace(5)
    assert starts(surfer, 7) == [302] * 5 + [429] * 2


def test_the_page_says_when_and_looks_like_the_others(surfer, pace):
    pace(1)
    starts(surfer, 1)
    page = surfer.client.post(START)
    assert (page.status_code, page.templates[0].name) == (429, "mail_oauth/refused.html")
    assert b"Too many attempts" in page.content
    assert b"<form" not in page.content, "no button that would not work"
    assert 3590 <= int(page["Retry-After"]) <= 3600
    assert (page["X-Frame-Options"], "no-store" in page["Cache-Control"]) == ("DENY", True)


@pytest.mark.parametrize("per_hour", [2, 60, 0.5])
def test_after_that_time_and_not_before_it_is_admitted(surfer, pace, per_hour):
    pace(per_hour)
    starts(surfer, max(int(per_hour), 1))
    refusal = surfer.client.post(START)
    wait = int(refusal["Retry-After"])
    pass_time(timedelta(seconds=wait - 5))
    assert surfer.client.post(START).status_code == 429
    pass_time(timedelta(seconds=6))
    assert surfer.client.post(START).status_code == 302
    assert surfer.client.post(START).status_code == 429, "one at a time from then on"


def test_a_flushed_cache_forgets_nothing(surfer, pace):
    pace(3)
    starts(surfer, 3)
    cache.clear()
    assert starts(surfer, 1) == [429]


def test_finishing_or_losing_a_consent_forgets_nothing(surfer, pace):
    """The consents themselves are deleted when they are taken: whoever counts those counts nothing."""
    pace(3)
    for _ in range(3):
        surfer.connect()
    ConnectAttempt.objects.all().delete()
    assert starts(surfer, 1) == [429]


def test_nor_does_another_browser_an_alias_or_a_new_session(surfer, browser_of, pace):
    pace(2)
    starts(surfer, 1)
    starts(surfer, 1, "google")
    assert starts(browser_of(surfer.user), 1, "keycloak") == [429]


def test_nor_does_upkeep(surfer, pace):
    pace(2)
    starts(surfer, 2)
    prune_events()
    assert starts(surfer, 1) == [429]


def test_one_users_starts_are_no_other_users(surfer, browser_of, other_user, pace):
    pace(1)
    assert starts(surfer, 2) == [302, 429]
    assert starts(browser_of(other_user), 1) == [302]


def test_a_refused_start_costs_neither_a_row_nor_a_call_of_the_provider(surfer, pace, provider, settings):
    pace(1)
    starts(surfer, 1, "keycloak")
    settings.MAIL_OAUTH = dict(settings.MAIL_OAUTH)  # forget what was discovered
    attempts, calls = ConnectAttempt.objects.count(), len(provider.calls)
    with CaptureQueriesContext(connection) as queries:
        assert starts(surfer, 5, "keycloak") == [429] * 5
    assert (ConnectAttempt.objects.count(), len(provider.calls)) == (attempts, calls)
    assert not [query for query in queries if query["sql"].startswith("INSERT")]


def test_what_was_begun_before_can_be_finished(surfer, pace):
    pace(1)
    callback = surfer.consent(surfer.start(), "ada@example.com")
    assert starts(surfer, 1) == [429]
    assert "refused" not in surfer.follow(callback)["Location"]
    assert MailCredentials.objects.exists()


def test_a_reconnect_counts_like_any_other(surfer, pace):
    pace(1)
    surfer.connect()
    row = MailCredentials.objects.get()
    assert surfer.client.post(START, {"mailbox": str(row.pk)}).status_code == 429


def test_naught_means_any_number(surfer, pace):
    pace(0)
    assert set(starts(surfer, MOST_AT_ONCE + 5)) == {302}
    assert not ConnectPace.objects.exists()


def test_the_default_is_more_than_anybody_needs_and_less_than_a_flood(surfer):
    assert set(starts(surfer, 60)) == {302}
    assert starts(surfer, 1) == [429]


def test_a_deleted_user_leaves_nothing_behind(surfer, pace):
    pace(5)
    starts(surfer, 1)
    surfer.user.delete()
    assert not ConnectPace.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("begun", [0, 1], ids=["the first ones", "later ones"])
def test_starts_at_the_same_moment_are_counted_one_by_one(surfer, pace, separate_connections, begun):
    pace(3 + begun)
    starts(surfer, begun)
    session = surfer.client.cookies["sessionid"].value
    url = reverse("mail_oauth:start", args=["microsoft"])

    def start() -> int:
        client = Client()
        client.cookies["sessionid"] = session
        return client.post(url).status_code

    assert sorted(together(8, lambda: closing(start))) == [302] * 3 + [429] * 5
