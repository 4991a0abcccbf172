"""A process that is stopped beyond its lease, and woken, changes nothing any more."""

from __future__ import annotations

import os
import signal
import time
from datetime import timedelta

import pytest

from mail_oauth.testing.faults import Fault
from tests.chaos.conftest import SERVERS
from tests.chaos.rig import SHORT_LEASE, Rig, report
from tests.worker.stack import wait_until


@pytest.mark.parametrize("rig", SERVERS, indirect=True)
def test_the_late_result_of_a_stopped_process_is_refused(rig: Rig):
    row = rig.mailbox("lenient", expired=True)
    provider = rig.providers["lenient"]
    with rig.nursery(redis=rig.redis, **SHORT_LEASE) as nursery:
        provider.fail_next(1, Fault.slow(0.8), grant_type="refresh_token")
        stopped = nursery.fork("refresh_each", pks=[str(row.pk)])
        wait_until(lambda: len(provider.token_calls("refresh_token")) == 1, 20, nursery.log.read_text)
        os.kill(stopped, signal.SIGSTOP)
        leased = rig.rows.get(pk=row.pk)
        assert leased.lease_owner
        time.sleep(SHORT_LEASE["LEASE_SECONDS"])

        winner = nursery.fork("refresh_each", pks=[str(row.pk)])
        wait_until(lambda: rig.rows.get(pk=row.pk).generation > row.generation, 20, nursery.log.read_text)
        won = rig.rows.get(pk=row.pk)
        assert won.token_issued_at - leased.refresh_at > -timedelta(seconds=0.5), "not before the lease ended"
        os.kill(stopped, signal.SIGCONT)
        nursery.wait()
        answers = {answer.pid: answer.token for answer in nursery.answers()}

    after = rig.rows.get(pk=row.pk)
    assert len(provider.token_calls("refresh_token", status=200)) == 2
    assert after.generation == won.generation == row.generation + 1
    assert after.refresh_token == won.refresh_token
    assert after.open_access_token().reveal() == answers[winner] == answers[stopped]
    assert provider.is_current_refresh_token(after.open_refresh_token().reveal())
    report.append(f"stopped beyond its lease, {rig.where}: stale pair refused, the winner's given to both")
