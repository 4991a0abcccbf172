"""Which of two grants is newer: a decision, by tables and for whatever moments and lifetimes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.moving.entries import LONGEST, SKEW, Entry
from mail_oauth.moving.judging import Held, age, judge, takes_its_place
from mail_oauth.moving.outcomes import Outcome

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def ahead(**span: float) -> datetime:
    return NOW + timedelta(**span)


def entry(issued_at: datetime | None = None, expires_at: datetime | None = None) -> Entry:
    return Entry(where="", issued_at=issued_at, expires_at=expires_at, read_at=NOW)


@pytest.mark.parametrize(
    ("issued_at", "expires_at", "moment"),
    [
        (ago(hours=2), ago(hours=1), ago(hours=2)),
        (None, ago(hours=1), ago(hours=2)),
        (None, ahead(minutes=50), ago(minutes=10)),
        (None, ahead(minutes=80), NOW),
        (None, ahead(minutes=91), None),
        (ago(minutes=1), ahead(hours=20), ago(minutes=1)),
        (ago(hours=1), None, ago(hours=1)),
        (ahead(minutes=1), None, NOW),
        (ahead(hours=9), ahead(minutes=50), ago(minutes=10)),
        (ahead(hours=9), None, None),
        (NOW, ago(hours=1), ago(hours=2)),
        (None, None, None),
    ],
)
def test_the_moment_by_which_entries_are_compared_is_never_ahead(issued_at, expires_at, moment):
    assert entry(issued_at, expires_at).moment == moment


OURS = {"got_here_at": ago(minutes=5)}
SAME = {"brought_at": ago(minutes=5), "moment": ago(minutes=30)}
ANOTHERS = {"moment": ago(minutes=30)}


@pytest.mark.parametrize(
    ("held", "issued_at", "expires_at", "takes"),
    [
        # Got here: what is sure alone counts.
        (OURS, ago(minutes=4), None, True),
        (OURS, ago(minutes=5), None, False),
        (OURS, None, ahead(minutes=89), False),  # by its end alone it may have lived for 90 minutes, or for a day
        (OURS, None, ahead(hours=23, minutes=59), True),
        (OURS, None, ahead(hours=24, minutes=30), False),  # by a clock that is wrong
        (OURS, ahead(hours=9), ahead(hours=10), False),
        (OURS, None, None, False),
        (OURS | {"is_dead": True}, None, ahead(minutes=59), False),
        # Brought by the same source, which has another one now.
        (SAME, None, ahead(minutes=59), True),
        (SAME, None, ahead(minutes=1), True),  # shorter is the life of the next token, at Microsoft's whim
        (SAME, None, None, True),
        (SAME | {"moment": None}, None, ahead(minutes=1), True),
        (SAME | {"moment": None}, None, ago(minutes=6), False),
        (SAME, None, ago(minutes=6), False),
        (SAME, ago(minutes=29), ago(minutes=6), True),  # a file may be read long after it was written
        (SAME, ago(minutes=31), ahead(minutes=29), False),
        (SAME | {"is_dead": True}, ago(minutes=31), ahead(minutes=29), True),
        # Brought by another one.
        (ANOTHERS, None, ahead(minutes=31), True),
        (ANOTHERS, None, ahead(minutes=30), False),
        (ANOTHERS, None, None, False),
        (ANOTHERS | {"is_dead": True}, None, None, False),
        ({}, ago(minutes=1), None, False),
    ],
)
def test_what_takes_the_place_of_what(held, issued_at, expires_at, takes):
    assert takes_its_place(entry(issued_at, expires_at), Held(**held)) is takes


@pytest.mark.parametrize(
    ("row", "outcome"),
    [
        ({}, Outcome.UPDATED),
        ({"status": Status.DISCONNECTED}, Outcome.DISCONNECTED),
        ({"lease_owner": "worker"}, Outcome.HERE),
        ({"last_refreshed_at": ago(hours=2)}, Outcome.HERE),
        ({"last_refreshed_at": ago(hours=2), "use_oauth": False}, Outcome.HERE),
        *(
            ({"last_refreshed_at": at, "status": status}, outcome)
            for status in (Status.NEEDS_REAUTH, Status.NEEDS_ADMIN, Status.NEEDS_ATTENTION, Status.UNREADABLE)
            for at, outcome in ((ago(hours=2), Outcome.UPDATED), (NOW, Outcome.HERE))
        ),
    ],
)
def test_what_lives_by_itself_is_left_alone_however_new_the_entry(row, outcome):
    row = MailCredentials(**{"token_issued_at": ago(hours=2), **row})
    assert judge(entry(issued_at=ago(minutes=1)), row, None)[0] is outcome


# --- for whatever moments ---

moments = st.timedeltas(timedelta(), timedelta(days=6)).map(lambda before: NOW - before)
lifetimes = st.timedeltas(timedelta(seconds=10), LONGEST)
told = st.sampled_from(["nothing", "the end", "both", "the beginning"])


def of(issued_at: datetime, lifetime: timedelta, tells: str) -> Entry:
    """What a source says, truly, of tokens that were issued then."""
    begun = issued_at if tells in {"both", "the beginning"} else None
    return entry(begun, issued_at + lifetime if tells in {"both", "the end"} else None)


@given(moments, st.timedeltas(timedelta(), timedelta(days=5)), lifetimes, told, st.booleans())
def test_ours_never_gives_way_to_what_is_not_newer(got_here_at, before, lifetime, tells, is_dead):
    held = Held(got_here_at=got_here_at, moment=got_here_at, is_dead=is_dead)
    assert not takes_its_place(of(got_here_at - before, lifetime, tells), held)


@given(moments, moments, lifetimes, told, st.none() | moments, st.booleans())
def test_what_a_source_brought_it_replaces_itself(first, second, lifetime, tells, moment, is_dead):
    brought_at, issued_at = sorted((first, second))
    if brought_at == issued_at:
        return
    held = Held(brought_at=brought_at, moment=moment and min(moment, brought_at), is_dead=is_dead)
    assert takes_its_place(of(issued_at, lifetime, tells), held)


@given(st.none() | moments, moments, lifetimes, told)
def test_of_two_sources_one_without_an_age_replaces_nothing(moment, issued_at, lifetime, tells):
    found = of(issued_at, lifetime, tells)
    if moment is None or found.moment is None:
        assert not takes_its_place(found, Held(moment=moment))


@given(st.none() | moments, st.none() | moments, st.timedeltas(-LONGEST, LONGEST), moments)
def test_no_moment_is_ahead_and_what_is_surely_newer_may_be(issued_at, ends, wrong_by, than):
    """Also where the source's clock is wrong."""
    found = entry(issued_at and issued_at + wrong_by, ends and ends + wrong_by)
    assert found.moment is None or found.moment <= NOW
    assert not (found.is_surely_newer(than) and not found.may_be_newer(than))
    assert not found.is_surely_newer(NOW + SKEW)


def test_of_several_the_newest_counts_and_what_has_no_age_more_than_what_has_ended():
    newest, old, ageless, ended = (
        entry(expires_at=ahead(minutes=50)),
        entry(expires_at=ahead(minutes=5)),
        entry(),
        entry(expires_at=ago(days=900)),
    )
    assert sorted([ended, ageless, newest, old], key=age) == [newest, old, ageless, ended]
