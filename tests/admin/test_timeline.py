"""The picture of a mailbox's life has every moment in its order, near and far, and reads as a list as well."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest

from mail_oauth.admin.timeline import LEFT, RIGHT, timeline
from mail_oauth.admin.timeline import NOW as MIDDLE
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import CredentialEvent, MailCredentials
from tests.admin.conftest import page_of

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


def at(**ago) -> datetime:
    return NOW - timedelta(**ago)


def mailbox(**columns) -> MailCredentials:
    life = {
        "connected_at": at(days=200),
        "token_issued_at": at(minutes=20),
        "token_expiry": at(minutes=-40),
        "refresh_at": at(minutes=-34),
        "refresh_token_expires_at": at(days=-90),
        "last_used_at": at(minutes=3),
    }
    return MailCredentials(email="ada@example.com", provider="google", **{**life, **columns})


def event(kind=EventKind.REFRESHED, reason="", **ago) -> CredentialEvent:
    return CredentialEvent(kind=kind, reason=reason, created_at=at(**ago))


def test_what_was_before_lies_left_of_what_came_after():
    drawn = timeline(mailbox(), [event(hours=1), event(hours=2), event(days=30)], NOW)
    places = [mark.x for mark in drawn.marks]
    assert places == sorted(places)
    assert [mark.moment.at for mark in drawn.marks] == sorted(mark.moment.at for mark in drawn.marks)
    assert [mark.x < MIDDLE for mark in drawn.marks] == [mark.moment.at < NOW for mark in drawn.marks]


def test_months_and_minutes_are_told_apart_in_one_picture():
    places = {mark.words: mark.x for mark in timeline(mailbox(), [], NOW).marks}
    assert places["connected"] == LEFT
    assert places["grant ends"] == RIGHT
    assert places["access token expires"] - places["next refresh"] > 3
    assert MIDDLE - places["access token issued"] > 20


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"connected_at": NOW},
        {"connected_at": at(days=4000), "refresh_token_expires_at": at(days=-4000)},
        {"token_expiry": at(days=3)},
        {"token_issued_at": None, "token_expiry": None, "refresh_at": None, "refresh_token_expires_at": None},
        {"token_issued_at": at(hours=-1), "token_expiry": at(hours=1)},  # clocks apart
    ],
)
def test_nothing_lies_outside_of_the_picture(columns):
    drawn = timeline(mailbox(**columns), [event(days=100)], NOW)
    places = [each.x for each in (*drawn.marks, *drawn.ticks)] + [bar.x + bar.width for bar in drawn.bars]
    assert all(LEFT <= place <= RIGHT + 2 for place in places)
    assert all(bar.width >= 2 for bar in drawn.bars)


def test_words_under_the_axis_do_not_stand_on_each_other():
    places = sorted([*(tick.x for tick in timeline(mailbox(), [], NOW).ticks), MIDDLE])
    assert len(places) > 6
    assert all(right - left >= 40 for left, right in itertools.pairwise(places))


def test_failures_are_told_from_successes_by_their_form_and_words():
    drawn = timeline(mailbox(), [event(EventKind.REFRESH_FAILED, "http_503", hours=1), event(hours=2)], NOW)
    assert [(mark.words, mark.level) for mark in drawn.marks if mark.lane == "events"] == [
        ("token refreshed", "good"),
        ("refresh failed (http_503)", "bad"),
        ("last used", "off"),
    ]


def test_while_a_worker_is_at_it_no_next_refresh_is_drawn():
    words = [mark.words for mark in timeline(mailbox(lease_owner="x"), [], NOW).marks]
    assert "next refresh" not in words


def test_of_a_disconnected_mailbox_no_grant_goes_on():
    gone = mailbox(status=Status.DISCONNECTED, token_issued_at=None, token_expiry=None)
    drawn = timeline(gone, [event(EventKind.DISCONNECTED, hours=1)], NOW)
    assert drawn.bars == []
    assert [mark.words for mark in drawn.marks] == ["connected", "disconnected", "last used"]


def svg_of(browser, mailbox) -> ElementTree.Element:
    text = browser.get(page_of(mailbox)).content.decode()
    found = re.search(r"<svg[^>]*role=\"img\".*?</svg>", text, re.DOTALL)
    assert found
    return ElementTree.fromstring(found[0])


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_picture_is_well_formed_and_named_in_any_language(root, connect, settings, language):
    settings.LANGUAGE_CODE = language  # numbers with commas would be none
    picture = svg_of(root, connect())
    assert picture.get("role") == "img"
    names = {element.get("id") for element in picture.iter()}
    assert set(picture.get("aria-labelledby", "").split()) <= names
    for element in picture.iter():
        assert "style" not in element.attrib
        for name in ("x", "x1", "width", "cx"):
            assert re.fullmatch(r"\d+(\.\d+)?", element.get(name, "0"))


def test_the_same_stands_there_as_a_list(root, connect):
    mailbox = connect()
    mailbox.refresh_now()
    page = root.get(page_of(mailbox))
    text = page.content.decode()
    listed = text[text.index("The same as a list") :]
    for mark in page.context["inspection"].timeline.marks:
        assert mark.words in listed
