"""A provider fails in every way while processes refresh: nobody is told to reconnect but for a reply that was lost."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import pytest

from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import CredentialEvent, MailCredentials
from mail_oauth.testing.faults import Fault
from mail_oauth.testing.records import digest
from tests.chaos.conftest import SERVERS
from tests.chaos.losses import NO_REPLY, cause_of_loss
from tests.chaos.rig import CIRCUITS, SEED, SHORT_CALLS, Nursery, Rig, report, size
from tests.worker.stack import wait_until

pytestmark = pytest.mark.timeout(900)

PROCESSES = 3


@dataclass(frozen=True)
class Trouble:
    """A fault at both providers. With `loses_reply` the refresh token was replaced, and the new one never came."""

    name: str
    fault: Fault
    loses_reply: bool = False


TROUBLES = [
    Trouble("500", Fault.html(500)),
    Trouble("429, Retry-After", Fault.rate_limited("2")),
    Trouble("hang", Fault.hang(3)),
    Trouble("1 byte/s", Fault.drip(1, part="headers", after_issue=False)),
    Trouble("redirect", Fault.redirect("https://elsewhere.example/token")),
    Trouble("drop after rotation", Fault.drop_after_rotation(), loses_reply=True),
    Trouble("hang after rotation", Fault.hang(3, after_issue=True), loses_reply=True),
    Trouble("1 byte/s after rotation", Fault.drip(1), loses_reply=True),
]


@pytest.mark.parametrize("rig", SERVERS, indirect=True)
def test_no_fault_of_a_provider_costs_a_grant_unless_the_reply_was_lost(rig: Rig):
    rows = [rig.mailbox(alias) for alias in rig.providers for _ in range(size(60, 12))]
    troubles = list(TROUBLES)
    random.Random(SEED).shuffle(troubles)
    # Nobody is killed here, so no lease may end under a worker, however slow the machine is.
    with rig.nursery(**rig.shared_cache(), **SHORT_CALLS, **CIRCUITS, LEASE_SECONDS=60) as nursery:
        for number in range(PROCESSES):
            nursery.fork("toil", threads=4, seed=SEED + number)
        told = [_meet(rig, trouble, strikes=size(40, 2)) for trouble in troubles]
        _recover(rig, nursery, rows)
        nursery.stop()
        assert not nursery.events("crash")
    report.append(f"faults of providers, {rig.where}, {PROCESSES} processes, {len(rows)} mailboxes:")
    report.extend(told)

    after = rig.now(rows)
    demoted = [row for row in after if row.status != Status.CONNECTED]
    struck = _bereft(rig)
    assert struck <= {row.email for row in demoted}
    for row in demoted:
        assert row.provider == "microsoft"
        assert row.status == Status.NEEDS_REAUTH
        assert not rig.honours(row), "nobody is told to reconnect whose grant lives"
        assert row.email in struck or _cause(nursery, row) == NO_REPLY, "a slow machine loses replies of its own"
    assert all(rig.honours(row) for row in after if row not in demoted)
    report.append(
        f"  afterwards: {len(struck)} replies lost at the strict provider, {len(demoted)} mailboxes demoted"
    )


def _meet(rig: Rig, trouble: Trouble, strikes: int) -> str:
    """Have the fault strike so often at each provider; how, and what became of the refreshes meanwhile."""
    events = CredentialEvent.objects.using(rig.alias)
    newest = events.order_by("pk").last()
    before = newest.pk if newest else 0
    fault = replace(trouble.fault, name=trouble.name)
    for provider in rig.providers.values():
        # A reply that is lost ends a grant at the strict one: some grants shall remain.
        provider.fail_next(min(strikes, 4) if trouble.loses_reply else strikes, fault, grant_type="refresh_token")
    wait_until(lambda: not any(provider.pending_faults for provider in rig.providers.values()), 120)
    struck = sum(call.fault == trouble.name for each in rig.providers.values() for call in each.calls)
    counts = Counter(events.filter(pk__gt=before).values_list("kind", "reason"))
    outcomes = ", ".join(f"{number} {' '.join(filter(None, what))}" for what, number in counts.most_common())
    return f"  {trouble.name:<24}{struck:>4} strikes: {outcomes}"


def _recover(rig: Rig, nursery: Nursery, rows: list[MailCredentials]) -> None:
    """Wait, with all faults lifted, until each mailbox has been refreshed or given up."""
    assert not any(provider.pending_faults for provider in rig.providers.values())
    lifted: dict[Any, int] = {row.pk: row.generation for row in rig.now(rows)}
    rig.rows.make_due()

    def settled() -> bool:
        rig.rows.filter(refresh_failures__gt=0).make_due()
        return all(
            row.status == Status.NEEDS_REAUTH
            or (row.status == Status.CONNECTED and not row.refresh_failures and row.generation > lifted[row.pk])
            for row in rig.now(rows)
        )

    wait_until(
        settled, 180, lambda: f"{rig.rows.values_list('status', 'last_refresh_error')}{nursery.events('crash')}"
    )


def _cause(nursery: Nursery, row: MailCredentials) -> str:
    return cause_of_loss(digest(row.open_refresh_token().reveal()), nursery.events(), {}, math.inf)


def _bereft(rig: Rig) -> set[str | None]:
    """Who lost a reply at the strict provider."""
    lossy = {trouble.name for trouble in TROUBLES if trouble.loses_reply}
    return {call.email for call in rig.provider.token_calls("refresh_token") if call.fault in lossy}
