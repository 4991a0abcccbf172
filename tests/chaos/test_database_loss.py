"""The database goes away when replies are on their way: each pair is saved or parked, and no POST is repeated."""

from __future__ import annotations

import random
import time

import pytest
from django.db import connections

from mail_oauth.models import MailCredentials
from tests.chaos.outages import Gate, Outage, frozen, killed, locked, shut_down
from tests.chaos.rig import LONG_CALLS, SEED, Nursery, Rig, report, size

PROCESSES = 2
OUTAGES: dict[str, list[tuple[Outage, str]]] = {
    "sqlite": [(locked, "briefly"), (locked, "long")],
    "postgresql": [(frozen, "briefly"), (killed, "long"), (shut_down, "briefly")],
}

pytestmark = pytest.mark.timeout(900)


def test_every_pair_outlives_a_database_that_goes_away_before_it_is_saved(rig: Rig):
    chance = random.Random(SEED)
    outages = OUTAGES[connections[rig.alias].vendor]
    with rig.nursery(**rig.shared_cache(), **LONG_CALLS) as nursery:
        for outage, length in outages * size(3, 1):
            parked_before = len(nursery.events("parked"))
            rows = [rig.mailbox(expired=True) for _ in range(size(20, 4))]
            _strike(rig, nursery, rows, outage, long=length == "long", chance=chance)
            parked = len(nursery.events("parked")) - parked_before
            assert all(event.kept for event in nursery.events("parked"))

            rig.end_leases()
            answers = _asked_again(nursery, rows)
            _assert_each_was_refreshed_once(rig, rows)
            assert all(rig.provider.is_valid_access_token(answers[str(row.pk)], row.email) for row in rows)
            report.append(
                f"database away at save, {rig.where}, {outage.__name__} {length}: {len(rows)} POSTs, "
                f"{len(rows) - parked} saved, {parked} parked and adopted, 0 POSTs more"
            )
            nursery.run("refresh_each", pks=[str(row.pk) for row in rows])
            assert all(map(rig.honours, rig.now(rows))), "and the grants go on"


def _strike(
    rig: Rig,
    nursery: Nursery,
    rows: list[MailCredentials],
    outage: Outage,
    *,
    long: bool,
    chance: random.Random,
) -> None:
    """Let every process get its replies while the database is away."""
    gate = Gate()
    patience = {"save_patience": 0.05 if long else 5}
    with gate.at(rig.provider):
        for number in range(PROCESSES):
            own = [str(row.pk) for row in rows[number::PROCESSES]]
            nursery.fork("refresh_each", patience, pks=own, threads=len(own))
        gate.wait_for(len(rows), nursery)
        with outage(rig, nursery):
            gate.open()
            if long:
                nursery.wait()
            else:
                time.sleep(chance.uniform(0, 0.5))
        nursery.wait()


def _asked_again(nursery: Nursery, rows: list[MailCredentials]) -> dict[str, str]:
    events = nursery.run("ask_once", pks=[str(row.pk) for row in rows], threads=4)
    assert not [event for event in events if event.event == "error"]
    return {event.mailbox: event.token for event in events if event.event == "answer"}


def _assert_each_was_refreshed_once(rig: Rig, rows: list[MailCredentials]) -> None:
    for before, after in zip(rows, rig.now(rows), strict=True):
        assert rig.posts_of(after) == after.generation - before.generation == 1
        assert rig.honours(after)
        assert not after.lease_owner
