"""The database comes back from a backup, older than the cache and than what providers know."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from tests.chaos.backups import Backup
from tests.chaos.conftest import SERVERS
from tests.chaos.rig import LONG_CALLS, NO_BRAKE, Nursery, Rig, report, size

pytestmark = pytest.mark.timeout(600)

NUMBER = size(20, 2)


class Mailboxes:
    """By what happened to them between the backup and the disaster, and what their providers do with old tokens."""

    def __init__(self, rig: Rig) -> None:
        self.untouched = [rig.mailbox(alias) for alias in rig.providers for _ in range(NUMBER)]
        self.lenient = [rig.mailbox("lenient", expired=number % 2 == 0) for number in range(NUMBER)]
        self.strict = [rig.mailbox(expired=number % 2 == 0) for number in range(NUMBER)]
        self.parked = [rig.mailbox() for _ in range(NUMBER)]

    @property
    def refreshed(self) -> list[MailCredentials]:
        return self.lenient + self.strict

    @property
    def all(self) -> list[MailCredentials]:
        return self.untouched + self.refreshed + self.parked


@pytest.mark.parametrize("rig", SERVERS, indirect=True)
def test_no_token_of_a_lost_generation_lives_on_and_each_grant_works_or_says_that_it_does_not(rig: Rig):
    boxes = Mailboxes(rig)
    backup = Backup(rig)
    with rig.nursery(**rig.shared_cache(), **LONG_CALLS, **NO_BRAKE) as nursery:
        _an_hour_passes(nursery, boxes)
        backup.restore()
        assert [row.generation for row in rig.now(boxes.all)] == [row.generation for row in boxes.all]
        # Some count up again, to the generation that the cache has seen with another token, or to one below it.
        again = boxes.lenient[: NUMBER // 2 + 1]
        nursery.run("refresh_each", pks=_pks(again))
        stale = _stale(rig, _seen(nursery, boxes.all), boxes.all)
        assert {row.pk for row in boxes.refreshed if row not in again} <= {row.pk for row in stale}

        (report_of_walk,) = [e for e in nursery.run("reconcile") if e.event == "reconciled"]
        assert not report_of_walk.cache_error
        assert report_of_walk.adopted == len(boxes.parked)
        assert not _stale(rig, _seen(nursery, boxes.all), boxes.all)
        _assert_the_parked_were_adopted(rig, nursery, boxes)
        events = nursery.run("refresh_each", pks=_pks(boxes.all), threads=4)
        came = {event.mailbox: event for event in events if event.event in {"answer", "error"}}

    for row in boxes.untouched + boxes.lenient + boxes.parked:
        assert came[str(row.pk)].event == "answer"
    for row in boxes.strict:
        assert came[str(row.pk)].kind == "ReauthRequired"
    demoted = {row.pk for row in rig.now(boxes.all) if row.status == Status.NEEDS_REAUTH}
    assert demoted == {row.pk for row in boxes.strict}
    report.append(
        f"database restored, {rig.where}: {len(stale)} cached tokens of lost generations, drift "
        f"{report_of_walk.drift}, none afterwards; {len(boxes.parked)} parked pairs adopted; strict: "
        f"{len(boxes.strict)} of {len(boxes.strict)} lost ones reported; lenient: all work"
    )


def _an_hour_passes(nursery: Nursery, boxes: Mailboxes) -> None:
    nursery.run("ask_once", pks=_pks(boxes.untouched), threads=2)  # so that each has a copy in the cache
    for each in range(3):
        nursery.run("refresh_each", pks=_pks(row for n, row in enumerate(boxes.refreshed) if n % 3 >= each))
    # The outage that ended with the backup began so: pairs came that could not be saved.
    events = nursery.run("refresh_each", {"saves_fail": True}, pks=_pks(boxes.parked), threads=NUMBER)
    assert sum(event.event == "parked" for event in events) == len(boxes.parked)


def _pks(rows) -> list[str]:
    return [str(row.pk) for row in rows]


def _seen(nursery: Nursery, rows: list[MailCredentials]) -> dict[str, SimpleNamespace]:
    return {event.mailbox: event for event in nursery.run("look", pks=_pks(rows)) if event.event == "seen"}


def _stale(rig: Rig, seen: dict[str, SimpleNamespace], rows: list[MailCredentials]) -> list[MailCredentials]:
    """The mailboxes whose cached token is not the row's."""
    return [
        row
        for row in rig.now(rows)
        if seen[str(row.pk)].copy not in {None, row.open_access_token().reveal()}
        or (seen[str(row.pk)].copied or 0) > row.generation
    ]


def _assert_the_parked_were_adopted(rig: Rig, nursery: Nursery, boxes: Mailboxes) -> None:
    posts = [rig.posts_of(row) for row in boxes.parked]
    assert posts == [1] * len(boxes.parked)
    assert all(map(rig.honours, rig.now(boxes.parked)))
    assert not [event for event in _seen(nursery, boxes.all).values() if event.parked]
