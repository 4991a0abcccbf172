"""However many ask at once, in threads and processes, each mailbox is refreshed exactly once."""

from __future__ import annotations

import time

from mail_oauth.testing.faults import Fault
from tests.chaos.rig import Rig, report, size


def test_one_expired_mailbox_asked_by_8_processes_of_16_threads_is_refreshed_once(rig: Rig):
    row = rig.mailbox(expired=True)
    with rig.provider.fault(Fault.slow(0.3)), rig.nursery(redis=rig.redis) as nursery:
        at = time.time() + 1
        for _ in range(8):
            nursery.fork("ask_once", pks=[str(row.pk)], threads=16, at=at)
        nursery.wait()
        answers = nursery.answers()
    assert rig.posts(row.email) == 1
    assert len(answers) == 128
    assert len({answer.token for answer in answers}) == 1
    assert rig.provider.is_valid_access_token(answers[0].token, row.email)
    slowest = max(answer.seconds for answer in answers)
    report.append(f"storm on one mailbox, {rig.where}: 128 answers, 1 POST, slowest {slowest:.2f} s")


def test_many_expired_mailboxes_asked_by_4_processes_are_refreshed_once_each(rig: Rig):
    rows = [rig.mailbox(expired=True) for _ in range(size(200, 20))]
    emails = {str(row.pk): row.email for row in rows}
    with rig.provider.fault(Fault.slow(0.02)), rig.nursery(redis=rig.redis) as nursery:
        at = time.time() + 0.5
        for _ in range(4):
            nursery.fork("ask_once", pks=list(emails), threads=8, at=at)
        nursery.wait()
        answers = nursery.answers()
    calls = rig.provider.token_calls("refresh_token")
    assert sorted(call.email or "" for call in calls) == sorted(emails.values())
    assert len(answers) == 4 * len(rows)
    assert all(rig.provider.is_valid_access_token(each.token, emails[each.mailbox]) for each in answers)
    taken = max(each.at for each in answers) - at
    report.append(
        f"storm on {len(rows)} mailboxes, {rig.where}: {len(answers)} answers, {len(calls)} POSTs, {taken:.1f} s"
    )
