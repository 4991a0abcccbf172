"""When a mailbox is refreshed next follows from its policy, its last use and the life of its grant."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail_oauth.choices import Policy
from mail_oauth.conf import app_settings
from mail_oauth.refresh.keeping import (
    Keeping,
    brought_forward,
    due_at,
    is_scheduled_too_late,
    keeps_warm,
)
from mail_oauth.refresh.policy import margin, warns_at

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

IDLE = Keeping(
    place=0.5,
    policy=Policy.ON_DEMAND,
    connected_at=NOW - 400 * DAY,
    used_at=None,
    issued_at=NOW,
    expires_at=NOW + HOUR,
)
WARM = replace(IDLE, policy=Policy.ALWAYS)

policies = st.sampled_from(Policy)
places = st.floats(0, 1, exclude_max=True)
ages = st.floats(0, 1000).map(lambda days: NOW - days * DAY)
lives = st.floats(30, 86400).map(lambda seconds: NOW + timedelta(seconds=seconds))
keepings = st.builds(
    Keeping,
    place=places,
    policy=policies,
    connected_at=ages,
    used_at=st.none() | ages,
    issued_at=st.just(NOW),
    expires_at=lives,
    before=st.none() | st.floats(30, 86400),
    late=st.floats(0, 1e6),
    grant_ends_at=st.none() | st.floats(-10, 1000).map(lambda days: NOW + days * DAY),
)


@pytest.mark.parametrize(
    ("policy", "connected", "used", "warm"),
    [
        (Policy.ALWAYS, 400, None, True),
        (Policy.ALWAYS, 400, 400, True),
        (Policy.ON_DEMAND, 0, 0, False),
        (Policy.RECENTLY_USED, 400, None, False),
        (Policy.RECENTLY_USED, 400, 6.9, True),
        (Policy.RECENTLY_USED, 400, 7, True),
        (Policy.RECENTLY_USED, 400, 7.1, False),
        (Policy.RECENTLY_USED, 6.9, None, True),
        (Policy.RECENTLY_USED, 6.9, 30, True),  # connected again by its user
    ],
)
def test_who_is_kept_warm(policy, connected, used, warm):
    used_at = None if used is None else NOW - used * DAY
    assert keeps_warm(policy, NOW, connected_at=NOW - connected * DAY, used_at=used_at) is warm


@pytest.mark.parametrize(
    ("grant_days", "days"),
    [
        (None, 30),  # KEEP_ALIVE_DAYS
        (90, 30),
        (180, 30),
        (36, 24),  # two thirds
        (9, 2),  # before its end is announced, seven days ahead
        (1, 2 / 3),  # within the days in which it was announced already
        (-5, 30),  # it has outlived what was estimated
    ],
)
def test_an_idle_mailbox_is_touched_just_often_enough(grant_days, days):
    ends_at = None if grant_days is None else NOW + grant_days * DAY
    idle = replace(IDLE, grant_ends_at=ends_at)
    waits = [(due_at(replace(idle, place=place), NOW) - NOW) / DAY for place in (0, 0.25, 0.5, 0.75, 0.999)]
    assert waits == sorted(waits), "each at its place"
    assert waits[0] == pytest.approx(0.7 * days)
    assert waits[-1] == pytest.approx(0.95 * days, rel=0.001)


@given(keepings)
def test_a_grant_is_never_let_die(keeping):
    due = due_at(keeping, NOW)
    assert due > NOW
    assert due <= NOW + 30 * DAY
    ends_at = keeping.grant_ends_at
    if ends_at is not None and ends_at > NOW:
        assert due < ends_at
        announced = warns_at(keeping.connected_at, ends_at)
        token_ends = min(keeping.expires_at, ends_at)
        assert due < announced or announced <= NOW or due < token_ends, (
            "it is announced although it can be renewed"
        )


@given(keepings)
def test_a_warm_mailbox_always_has_a_token_and_an_idle_one_costs_no_more(keeping):
    warm, idle = (due_at(replace(keeping, policy=policy), NOW) for policy in (Policy.ALWAYS, Policy.ON_DEMAND))
    lifetime = (keeping.expires_at - NOW).total_seconds()
    assert warm <= keeping.expires_at - timedelta(seconds=margin(lifetime))
    assert warm <= idle


def test_a_million_idle_mailboxes_are_not_touched_in_one_hour():
    hours = [int((due_at(replace(IDLE, place=n / 1000), NOW) - NOW) / HOUR) for n in range(1000)]
    assert max(hours.count(hour) for hour in set(hours)) <= 1000 / 150


@pytest.mark.parametrize("days", [0, 1e-9, 1e12])
def test_any_number_of_days_will_do(settings, days):
    settings.MAIL_OAUTH = {"KEEP_ALIVE_DAYS": days, "RECENT_USE_DAYS": days}
    assert due_at(IDLE, NOW) > NOW
    assert keeps_warm(Policy.RECENTLY_USED, NOW, connected_at=NOW - DAY, used_at=None) is (days > 1)


class TestScheduledTooLate:
    def test_is_what_was_idle_and_should_be_warm(self):
        far = due_at(IDLE, NOW)
        assert is_scheduled_too_late(far, WARM, NOW)
        assert not is_scheduled_too_late(far, IDLE, NOW)

    def test_is_what_may_no_longer_rest_so_long(self, settings):
        far = due_at(IDLE, NOW)
        settings.MAIL_OAUTH = {"KEEP_ALIVE_DAYS": 3}
        assert is_scheduled_too_late(far, IDLE, NOW)

    def test_is_not_what_waits_for_a_provider(self):
        settings = app_settings()
        for pause in (settings.circuit_cap, settings.backoff_long):
            assert not is_scheduled_too_late(NOW + timedelta(seconds=pause), WARM, NOW)

    @given(keepings, st.floats(0, 60))
    def test_is_never_what_its_own_policy_has_planned(self, keeping, days):
        """However long ago that was: as to the grant, nothing changes with time."""
        due = due_at(keeping, NOW)
        used = keeping.policy is Policy.RECENTLY_USED
        assert used or not is_scheduled_too_late(due, keeping, NOW + days * DAY)
        assert not is_scheduled_too_late(due, keeping, NOW)

    @given(keepings, st.floats(0, 60))
    def test_comes_back_in_time_but_not_all_at_once(self, keeping, days):
        now = NOW + days * DAY
        warm = replace(keeping, policy=Policy.ALWAYS)
        lifetime = keeping.expires_at - keeping.issued_at
        assert now - MINUTE < brought_forward(warm, now) <= now + lifetime
        assert not is_scheduled_too_late(brought_forward(warm, now), warm, now), (
            "it would be moved again and again"
        )
