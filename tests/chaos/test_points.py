"""SIGKILL at every named point of a refresh: what each leaves behind, and how the next attempt goes on from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from tests.chaos.rig import LONG_CALLS, Nursery, Rig, report, size
from tests.worker.stack import wait_until

CIRCUMSTANCES: dict[str, dict[str, Any]] = {
    "claimed": {"die_at": "claimed"},
    "posted": {"die_at": "posted"},
    "replied": {"die_at": "replied"},
    "saved": {"die_at": "saved"},
    "parked": {"die_at": "parked", "saves_fail": True},
    "published": {"die_at": "published"},
}
"""Between `posted` and `saved` the new pair is known to nobody but the dead process: the honest window."""

GOES_ON = (("answer", "answer"), Status.CONNECTED)
REPORTED = (("ProviderUnavailable", "ReauthRequired"), Status.NEEDS_REAUTH)
Scene = dict[tuple[str, str], list[MailCredentials]]

pytestmark = pytest.mark.timeout(600)


def test_a_process_killed_at_any_point_loses_no_grant_outside_the_window(rig: Rig):
    each = range(size(10, 1))
    scene: Scene = {
        (point, alias): [rig.mailbox(alias, expired=True) for _ in each]
        for point in CIRCUMSTANCES
        for alias in rig.providers
    }
    everyone = [row for rows in scene.values() for row in rows]
    with rig.nursery(**rig.shared_cache(), **LONG_CALLS) as nursery:
        _kill_all(nursery, scene)
        posted = sum(len(rows) for (point, _), rows in scene.items() if point != "claimed")
        wait_until(lambda: sum(map(rig.posts_of, everyone)) == posted, 30)  # what the dead sent may be on its way
        held = _held(rig, nursery, everyone)
        attempts = _attempt_twice(rig, nursery, everyone)

    stored = {row.pk: row for row in rig.now(everyone)}
    for (point, alias), rows in scene.items():
        in_window = alias == "microsoft" and point in {"posted", "replied"}
        for row in rows:
            assert held[row.pk] or in_window, f"{alias} honours what stands there, killed: {point}"
            outcome = (attempts[row.pk], stored[row.pk].status)
            assert outcome == (REPORTED if in_window else GOES_ON), f"{alias}, killed: {point}"
            assert rig.posts_of(row) == 2 + (point not in {"claimed", "parked"}), "what is parked needs no POST"
            assert rig.honours(stored[row.pk]) or in_window
    _tell(rig, scene, attempts)


def _kill_all(nursery: Nursery, scene: Scene) -> None:
    """A process for each mailbox, which refreshes it and dies on the way."""
    for (point, _), rows in scene.items():
        for row in rows:
            nursery.fork("refresh_each", CIRCUMSTANCES[point], pks=[str(row.pk)])
        if len(nursery.pids) > 20:
            nursery.wait()
    nursery.wait()
    died = Counter(event.point for event in nursery.events("killed"))
    assert died == Counter(point for (point, _), rows in scene.items() for _ in rows)
    assert not nursery.events("answer", "error", "crash"), "the dead tell nobody"


def _held(rig: Rig, nursery: Nursery, rows: Iterable[MailCredentials]) -> dict[Any, bool]:
    """Whether its provider honours what the next attempt begins with: the parked token, or else the stored one."""
    seen = {event.mailbox: event for event in nursery.run("look", pks=[str(row.pk) for row in rows])}
    return {row.pk: rig.honours(row, seen[str(row.pk)].parked) for row in rig.now(rows)}


def _attempt_twice(rig: Rig, nursery: Nursery, rows: Iterable[MailCredentials]) -> dict[Any, tuple[str, ...]]:
    rig.end_leases()
    events = [e for _ in range(2) for e in nursery.run("refresh_each", pks=[str(row.pk) for row in rows])]
    came = [event for event in events if event.event in {"answer", "error"}]
    return {
        row.pk: tuple(getattr(event, "kind", "answer") for event in came if event.mailbox == str(row.pk))
        for row in rows
    }


def _tell(rig: Rig, scene: Scene, attempts: dict[Any, tuple[str, ...]]) -> None:
    report.append(f"killed at a point, {rig.where}: what the next two attempts bring, at each provider")
    for point in CIRCUMSTANCES:
        cells = []
        for alias, name in (("microsoft", "strict"), ("lenient", "lenient")):
            outcomes = Counter(", ".join(attempts[row.pk]) for row in scene[point, alias])
            cells.append(f"{name}: {'; '.join(f'{number} x {what}' for what, number in outcomes.items())}")
        report.append(f"  {point:<10}{cells[0]:<50}{cells[1]}")
