"""Keys rotate under refreshes, and the rotation is killed again and again: no update and no grant is lost."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from contextlib import contextmanager

import pytest
from django.conf import settings as suite
from django.test import override_settings

from mail_oauth.encryption import keyring, new_key
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from tests.chaos.rig import SEED, SHORT_LEASE, Nursery, Rig, alive, report, size
from tests.worker.stack import wait_until

pytestmark = pytest.mark.timeout(900)

BATCH = 4


@contextmanager
def fleet(rig: Rig, old: str, new: str):
    """Hosts that have the new key first, and some to which that has not come yet, all at work."""
    cache = rig.shared_cache()
    with (
        rig.nursery(**cache, **SHORT_LEASE, keys=[old, new]) as behind,
        rig.nursery(**cache, **SHORT_LEASE, keys=[new, old]) as ahead,
    ):
        chance = random.Random(SEED)
        for nursery in (behind, ahead):
            for _ in range(2):
                nursery.fork("toil", threads=3, seed=chance.randrange(2**32))
        yield behind, ahead


def killed_rotations(nursery: Nursery, number: int, chance: random.Random) -> int:
    """Begin so many rotations and kill each while it seals; how many batches they had done."""
    done = 0
    for _ in range(number):
        pid = nursery.fork("rotate", batch=BATCH)
        wait_until(lambda pid=pid: batches(nursery, pid) > 0 or not alive(pid), 60)
        time.sleep(chance.uniform(0, 0.05))
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda pid=pid: not alive(pid), 10)
        done += batches(nursery, pid)
        nursery.pids.remove(pid)
    return done


def batches(nursery: Nursery, pid: int) -> int:
    return sum(event.pid == pid for event in nursery.events("sealed"))


@pytest.mark.slow
def test_rotations_killed_amid_refreshes_lose_no_update_and_no_grant(rig: Rig):
    [old], new = suite.FERNET_KEYS, new_key()
    rows = [rig.mailbox("microsoft") for _ in range(size(300, 40))]
    rows += [rig.mailbox("lenient") for _ in range(size(100, 10))]
    chance = random.Random(SEED)
    with fleet(rig, old, new) as (behind, ahead):
        killed = size(30, 4)
        batches_of_killed = killed_rotations(ahead, killed, chance)
        behind.stop()  # what it sealed under the old key until now is found by the rotation that follows
        pid = ahead.fork("rotate", batch=BATCH)
        wait_until(lambda: not alive(pid), 120, lambda: str(ahead.events("crash")))
        ahead.pids.remove(pid)
        ahead.stop()
        [rotated] = ahead.events("rotated")[-1:]
        posted = len(behind.events("posted")) + len(ahead.events("posted"))
        assert not behind.events("crash") + ahead.events("crash")
    with rig.nursery(redis=rig.redis, keys=[new]) as alone:
        [proof] = [event for event in alone.run("prove") if event.event == "proved"]

    assert (rotated.ok, rotated.ended) == (True, "done")
    with override_settings(FERNET_KEYS=[new]):
        key = keyring().keys[0].fingerprint
        assert (proof.unopened, proof.refused, set(proof.counted)) == (0, [], {key})
        after = rig.now(rows)
        _assert_nothing_is_lost(rig, after)
        assert posted == sum(map(rig.posts_of, after))
    report.append(
        f"rotation, {rig.where}: {len(rows)} mailboxes, {killed} rotations killed after {batches_of_killed} batches, "
        f"{rotated.resealed} values sealed by the last one ({rotated.changed} changed meanwhile), {posted} refreshes "
        f"beside them, {dict(Counter(row.status for row in after))}, no update and no grant lost"
    )


def _assert_nothing_is_lost(rig: Rig, rows: list[MailCredentials]) -> None:
    """Each refresh has raised the generation by one, and its token is what the row has, which the provider honours."""
    assert {row.status for row in rows} == {Status.CONNECTED}
    assert [rig.posts_of(row) for row in rows] == [row.generation - 1 for row in rows]
    for row in rows:
        assert rig.honours(row), f"the grant of {row} is lost"
        token = row.open_access_token()
        assert token is not None
        assert rig.providers[row.provider].is_valid_access_token(token.reveal(), row.email)


def test_a_rotation_writes_nothing_over_a_refresh_that_it_has_read_before(rig: Rig):
    """Every value is being sealed anew while every mailbox is being refreshed: the refresh always wins."""
    [old], new = suite.FERNET_KEYS, new_key()
    rows = [rig.mailbox() for _ in range(size(200, 20))]
    pks = [str(row.pk) for row in rows]
    cache = rig.shared_cache()
    with rig.nursery(**cache, keys=[old, new]) as behind, rig.nursery(**cache, keys=[new, old]) as ahead:
        for _ in range(size(10, 3)):
            behind.fork("refresh_each", pks=pks, threads=4)
            ahead.fork("rotate", batch=50, dawdle=0.2)
            behind.wait()
            ahead.wait()
        assert not behind.events("crash", "error") + ahead.events("crash", "error")
        changed = sum(event.changed for event in ahead.events("rotated"))
    assert changed, "no refresh came between: nothing was tested"
    with override_settings(FERNET_KEYS=[new, old]):
        _assert_nothing_is_lost(rig, rig.now(rows))
    report.append(f"rotation against refreshes, {rig.where}: {changed} values were changed before their turn came")
