"""SIGKILL at random moments: no grant is lost but in the one window that a strict provider leaves open."""

from __future__ import annotations

import os
import random
import signal
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.testing.faults import Fault
from mail_oauth.testing.records import digest
from tests.chaos.losses import HELD_UP, NO_REPLY, WINDOW, cause_of_loss, widths
from tests.chaos.rig import SEED, SHORT_LEASE, Nursery, Rig, alive, report, size
from tests.worker.stack import wait_until

PROCESSES = 3
MAILBOXES = 30
LATENCY = 0.03
TOKEN_SECONDS = 12

pytestmark = pytest.mark.timeout(900)


@dataclass
class Slaughter:
    """Processes that are killed at random, and the mailboxes that they left."""

    rig: Rig
    nursery: Nursery
    chance: random.Random
    kills: dict[int, float] = field(default_factory=dict)
    lost: dict[Any, str] = field(default_factory=dict)
    """Mailboxes whose grant is gone, and why."""
    parked: dict[Any, str] = field(default_factory=dict)
    """Refresh tokens that the next attempt adopts: who came too late for its lease put them away."""

    def run(self, number: int) -> None:
        for _ in range(PROCESSES):
            self.begin()
        for kill in range(number):
            time.sleep(self.chance.uniform(0.02, 0.3))
            self.kill(self.chance.choice(self.nursery.pids))
            self.begin()
            if kill % 10 == 9:
                self.replace_dead_grants()
        for pid in list(self.nursery.pids):
            self.kill(pid)

    def begin(self) -> None:
        self.nursery.fork("toil", threads=4, seed=self.chance.randrange(2**32))

    def kill(self, pid: int) -> None:
        assert alive(pid), self.nursery.events("crash")
        os.kill(pid, signal.SIGKILL)
        self.kills[pid] = time.time()
        self.nursery.pids.remove(pid)
        wait_until(lambda: not alive(pid), 10)

    def replace_dead_grants(self) -> None:
        """A user whose grant the provider has ended connects another mailbox, so that the load stays."""
        for row in self.rig.rows.filter(provider="microsoft").exclude(pk__in=self.lost):
            if not self.rig.provider.living_grants(row.email):
                self.bury(row)
                self.rig.mailbox()

    def bury(self, row: MailCredentials) -> None:
        events = self.nursery.events("posted", "replied", "unanswered", "saved")
        self.lost[row.pk] = cause_of_loss(
            digest(row.open_refresh_token().reveal()), events, self.kills, SHORT_LEASE["LEASE_SECONDS"]
        )

    def take_stock(self) -> None:
        """Find every mailbox whose provider would refuse what the next attempt begins with: what is parked, or stored."""
        time.sleep(4 * LATENCY + 0.2)  # requests of the dead that are still on their way
        rows = {str(row.pk): row for row in self.rig.rows.exclude(pk__in=self.lost)}
        for seen in self.nursery.run("look", pks=list(rows)):
            row = rows[seen.mailbox]
            token = seen.parked or row.open_refresh_token().reveal()
            if not self.rig.providers[row.provider].is_current_refresh_token(token):
                self.bury(row)
            elif seen.parked:
                self.parked[row.pk] = seen.parked

    def survivors(self) -> list[MailCredentials]:
        return list(self.rig.rows.exclude(pk__in=self.lost))


@pytest.fixture
def slaughter(rig: Rig):
    for provider in rig.providers.values():
        provider.configure(access_token_seconds=TOKEN_SECONDS)
    for alias in rig.providers:
        for _ in range(MAILBOXES):
            rig.mailbox(alias)
    faults = [provider.fault(Fault.slow(LATENCY)) for provider in rig.providers.values()]
    with faults[0], faults[1], rig.nursery(redis=rig.redis, **SHORT_LEASE) as nursery:
        yield Slaughter(rig, nursery, random.Random(SEED))
    for provider in rig.providers.values():
        provider.configure(access_token_seconds=3600)


@pytest.mark.slow
def test_workers_killed_at_random_lose_no_grant_outside_the_window(slaughter: Slaughter):
    rig, nursery = slaughter.rig, slaughter.nursery
    slaughter.run(size(300, 15))  # on two databases, this is a tenth of 300
    slaughter.take_stock()
    leases = rig.rows.exclude(lease_owner="").count()
    _tell(slaughter, leases)

    assert not nursery.events("crash")
    assert set(slaughter.lost.values()) <= {WINDOW, NO_REPLY, HELD_UP}
    lost_at = Counter(rig.rows.filter(pk__in=slaughter.lost).values_list("provider", flat=True))
    assert not lost_at["lenient"], "a provider that keeps old refresh tokens alive loses none"
    survivors = slaughter.survivors()
    assert {row.status for row in survivors} == {Status.CONNECTED}
    for row in survivors:
        assert rig.honours(row, slaughter.parked.get(row.pk))

    # Nobody releases the leases of the dead: they end by themselves.
    before = {row.pk: row.generation for row in survivors}
    rig.rows.make_due()
    nursery.fork("toil", threads=1, seed=0)
    wait_until(lambda: _refreshed_since(rig, before), 30, lambda: f"{leases} leases, {rig.log('nursery')}")
    nursery.stop()
    assert all(
        rig.providers[row.provider].is_valid_access_token(row.open_access_token().reveal(), row.email)
        for row in slaughter.survivors()
    )


def _refreshed_since(rig: Rig, before: dict[Any, int]) -> bool:
    now = dict(rig.rows.filter(pk__in=before, status=Status.CONNECTED).values_list("pk", "generation"))
    return all(now.get(pk, 0) > generation for pk, generation in before.items())


def _tell(slaughter: Slaughter, leases: int) -> None:
    rig = slaughter.rig
    events = slaughter.nursery.events("posted", "replied", "saved")
    counts = Counter(event.event for event in events)
    lost = Counter((rig.rows.get(pk=pk).provider, why) for pk, why in slaughter.lost.items())
    report.append(
        f"kills, {rig.where}: {len(slaughter.kills)} kills, {counts['posted']} POSTs, {counts['saved']} saved, "
        f"{leases} leases of the dead at the end, grants lost: {dict(lost) or 0}"
    )
    for name, seconds in widths(events).items():
        if len(seconds) > 1:
            cuts = statistics.quantiles(seconds, n=100)
            report.append(
                f"  {name}: median {cuts[49] * 1000:.1f} ms, 99% within {cuts[98] * 1000:.1f} ms, "
                f"longest {max(seconds) * 1000:.1f} ms"
            )
