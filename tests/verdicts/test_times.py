"""When to try again, and when a token is too old: pure functions of times and settings."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail_oauth.refresh.policy import least_validity, margin, next_refresh, retry_delay
from mail_oauth.refresh.verdicts import judge, retry_after_seconds
from tests.verdicts.replies import raw

NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
lifetimes = st.integers(10, 24 * 3600)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30", 30),
        (" 30 ", 30),
        ("0", 0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("٣٠", None),
        ("²", None),
        ("Tue, 01 Jan 2030 12:00:30 GMT", 30),
        ("Tuesday, 01-Jan-30 12:00:30 GMT", 30),
        ("Tue, 01 Jan 2030 14:00:30 +0200", 30),
        ("Tue, 01 Jan 2030 11:00:00 GMT", 0),
        ("Tue, 01 Jan 2040 12:00:00 GMT", 3652 * 86400),
        ("Tue, 99 Jan 2030 12:00:00 GMT", None),
        ("Tue, 01 Jan 99999 12:00:00 GMT", None),
        ("9" * 400, 999999999999),
        ("30, 60", None),
    ],
)
def test_retry_after_in_every_form(value, seconds):
    assert retry_after_seconds(value, NOW) == seconds


@given(st.text())
def test_any_retry_after_is_a_number_of_seconds_or_none(value):
    found = retry_after_seconds(value, NOW)
    assert found is None or found >= 0


@pytest.mark.parametrize("status", [400, 429, 503])
def test_it_is_read_at_every_status(status):
    assert judge(raw(b'{"error": "slow_down"}', status, retry_after="77"), now=NOW).retry_after == 77


@given(st.integers(1, 10**6), st.booleans(), st.none() | st.floats(0, 10**12), st.randoms())
def test_a_pause_is_bounded_and_never_naught(failures, slow, retry_after, rng):
    delay = retry_delay(failures, slow=slow, retry_after=retry_after, rng=rng)
    assert 15 <= delay <= 6 * 3600 * 1.2 + 5


@given(st.floats(0, 6 * 3600), st.integers(1, 50), st.randoms())
def test_what_the_provider_asks_for_is_honoured(retry_after, failures, rng):
    assert retry_delay(failures, retry_after=retry_after, rng=rng) >= retry_after


def test_pauses_double_up_to_the_cap():
    ceilings = [max(retry_delay(n, rng=random.Random(seed)) for seed in range(200)) for n in range(1, 12)]
    expected = [min(30 * 2**n, 3600) for n in range(11)]
    assert ceilings == pytest.approx(expected, rel=0.05)


def test_hosts_do_not_come_back_together():
    delays = {retry_delay(3, retry_after=600, rng=random.Random(seed)) for seed in range(50)}
    assert len(delays) == 50


@pytest.mark.parametrize(("lifetime", "seconds"), [(3600, 300), (900, 300), (600, 200), (90, 30), (12, 4)])
def test_the_margin_is_at_most_a_third_of_the_lifetime(lifetime, seconds):
    assert margin(lifetime) == seconds


@pytest.mark.parametrize(
    ("lifetime", "wanted", "seconds"),
    [
        (3600, None, 60),
        (90, None, 30),
        (3600, 600, 600),
        (3600, 10**9, 2880),
        (90, 600, 72),
        (90, 0, 0),
        (90, -9, 0),
    ],
)
def test_the_least_validity(lifetime, wanted, seconds):
    assert least_validity(lifetime, wanted) == seconds


@given(lifetimes, st.none() | st.floats(allow_nan=False))
def test_a_fresh_token_always_lives_long_enough(lifetime, wanted):
    assert 0 <= least_validity(lifetime, wanted) < lifetime


places = st.floats(0, 1, exclude_max=True)


@given(lifetimes, places, st.none() | lifetimes)
def test_a_refresh_is_due_within_the_life_of_the_token_and_before_callers_wait(lifetime, place, before):
    expires_at = NOW + timedelta(seconds=lifetime)
    due = next_refresh(NOW, expires_at, place=place, before=before)
    assert NOW < due <= expires_at - timedelta(seconds=margin(lifetime))
    assert margin(lifetime) >= least_validity(lifetime)


zones = st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]).map(ZoneInfo)
years = {"min_value": datetime(1990, 1, 1), "max_value": datetime(2100, 1, 1)}  # noqa: DTZ001  # the zones come after


@given(st.datetimes(**years, timezones=zones), lifetimes, places, st.none() | lifetimes)
def test_days_on_which_clocks_change_make_no_difference(moment, lifetime, place, before):
    issued, life = moment.astimezone(UTC), timedelta(seconds=lifetime)
    due = next_refresh(issued, issued + life, place=place, before=before)
    assert due.utcoffset() == timedelta(0)
    assert timedelta(0) < due - issued <= life - timedelta(seconds=margin(lifetime))
