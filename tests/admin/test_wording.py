"""States and times are said in words that name who must act."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mail_oauth.admin.moments import distance
from mail_oauth.admin.notices import Level, badge, notices
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.refresh.classification import Trouble
from mail_oauth.refresh.lanes import Hold

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "in 0 s"),
        (119, "in 119 s"),
        (42 * 60 + 59, "in 42 min"),
        (-12 * 60, "12 min ago"),
        (3 * 3600, "in 3 h"),
        (-3 * 86400, "3 days ago"),
        (None, "\N{EN DASH}"),
    ],
)
def test_a_time_is_said_by_its_distance(seconds, words):
    assert distance(None if seconds is None else NOW + timedelta(seconds=seconds), NOW) == words


def mailbox(**columns) -> MailCredentials:
    soon = NOW + timedelta(minutes=30)
    return MailCredentials(**{"email": "ada@example.com", "provider": "google", "refresh_at": soon, **columns})


STATES = [
    ({}, Level.GOOD, "Connected.", "Nobody has to act"),
    ({"lease_owner": "x"}, Level.GOOD, "a worker is refreshing it", "Nobody has to act"),
    ({"refresh_at": NOW - timedelta(hours=1)}, Level.WAIT, "was due: 60 min ago", "Celery beat"),
    ({"refresh_at": None}, Level.WAIT, "nothing keeps it so", "Refresh now"),
    ({"refresh_failures": 1, "last_refresh_error": "dns"}, Level.WAIT, "last refresh failed (dns)", "in 30 min"),
    ({"refresh_failures": 4, "last_refresh_error": "dns"}, Level.WAIT, "last 4 refreshes failed", "by itself"),
    ({"last_refresh_error": "invalid_grant_held"}, Level.WAIT, "not told yet (invalid_grant)", "in 30 min"),
    ({"status_reason": "scope_missing"}, Level.WAIT, "fewer mail scopes", "The user must connect"),
    (
        {"status": Status.NEEDS_ATTENTION, "status_reason": "odd"},
        Level.BAD,
        "not known (odd)",
        "The operator of this site must",
    ),
    (
        {"status": Status.NEEDS_REAUTH, "status_reason": "invalid_grant"},
        Level.BAD,
        "(invalid_grant)",
        "The user must",
    ),
    (
        {"status": Status.NEEDS_ADMIN, "status_reason": "AADSTS65001"},
        Level.BAD,
        "AADSTS65001",
        "administrator must",
    ),
    ({"status": Status.UNREADABLE}, Level.BAD, "cannot be decrypted", "The operator of this site must"),
    ({"use_oauth": False}, Level.OFF, "switched off", "Switch OAuth on"),
    ({"use_oauth": False, "status": Status.NEEDS_REAUTH}, Level.OFF, "switched off", "tokens are kept"),
    (
        {"status": Status.DISCONNECTED, "refresh_at": None},
        Level.OFF,
        "is disconnected",
        "Its user connects it again",
    ),
    ({"status": Status.DISCONNECTED}, Level.OFF, "is disconnected", "could not be revoked"),
]


@pytest.mark.parametrize(("columns", "level", "headline", "next_step"), STATES)
def test_each_state_says_what_is_the_case_and_who_acts(columns, level, headline, next_step):
    (notice,) = notices(mailbox(**columns), NOW)
    assert notice.level is level
    assert headline in notice.headline
    assert next_step in notice.next_step


def test_tokens_that_cannot_be_read_now_count_more_than_the_status():
    (notice,) = notices(mailbox(), NOW, unreadable=True)
    assert "FERNET_KEYS" in notice.next_step


def test_a_missing_alias_is_said_except_where_it_does_not_matter():
    lost, gone = mailbox(status=Status.NEEDS_REAUTH), mailbox(status=Status.DISCONNECTED)
    (notice,) = notices(mailbox(), NOW, provider_problem="no such alias")
    assert notice.headline == "The settings of its provider are wrong."
    assert notice.next_step.endswith("In detail: no such alias")
    assert len(notices(lost, NOW, provider_problem="no such alias")) == 2
    assert [notice.level for notice in notices(gone, NOW, provider_problem="no such alias")] == [Level.OFF]


def held(tenant: str = "") -> Hold:
    return Hold(
        pk=1,
        provider="google",
        tenant=tenant,
        trouble=Trouble.CLIENT,
        reason="invalid_client",
        trials=1,
        seconds=250,
    )


def test_a_hold_says_when_it_is_tried_and_who_acts():
    (notice,) = notices(mailbox(), NOW, hold=held())
    assert notice.level is Level.WAIT
    assert notice.headline == "Calls of its provider are held (invalid_client)."
    assert notice.next_step == (
        "Nobody has to act here: one call tries again; see Provider health. Next attempt: in 4 min."
    )
    (notice,) = notices(mailbox(), NOW, hold=held("corp"))
    assert notice.headline == "Calls for its organisation are held at the provider (invalid_client)."


def test_a_hold_stands_beside_a_state_that_is_not_good_and_not_where_nobody_calls():
    assert len(notices(mailbox(refresh_failures=1), NOW, hold=held())) == 2
    assert len(notices(mailbox(status=Status.NEEDS_ATTENTION), NOW, hold=held())) == 2
    for columns in ({"status": Status.NEEDS_REAUTH}, {"status": Status.DISCONNECTED}, {"use_oauth": False}):
        assert len(notices(mailbox(**columns), NOW, hold=held())) == 1, columns


@pytest.mark.parametrize("status", Status)
def test_every_status_has_a_badge_and_a_notice(status):
    assert badge(mailbox(status=status)).words == str(status.label)
    assert notices(mailbox(status=status), NOW)
