"""Sweeps, reconciliation, and workers that are slow, late or killed, while this and that goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.db import OperationalError
from django.utils import timezone
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from mail_oauth.connect.disconnect import retry_revocation
from mail_oauth.exceptions import KeyMissing
from mail_oauth.managers.transitions import Transitions
from mail_oauth.models import MailCredentials
from mail_oauth.refresh.engine import adopt, refresh, spend
from mail_oauth.upkeep.reconcile import reconcile_cache
from mail_oauth.upkeep.rekey import RekeyReport, rotate_keys
from mail_oauth.upkeep.sweep import SweepReport, refresh_batch
from tests.machine.machine import SPANS, Answer, Mailboxes, some, which
from tests.machine.oracle import Mailbox
from tests.machine.watched import FAULTS
from tests.machine.world import Killed

MEANWHILE = ("disconnect", "reconnect", "pause", "resume", "delete", "overtake", "take", "release", "rotate")

troubles = st.lists(st.sampled_from(MEANWHILE), max_size=2)
at_work = precondition(lambda self: self.workers)


class Interrupted:
    """The ledger of a worker to whose mailbox things happen between the provider's reply and the save."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        self._ledger = Transitions(MailCredentials.objects)
        self._meanwhile = [meanwhile]

    def __getattr__(self, name: str) -> Any:
        while self._meanwhile and name != "lanes":  # which are asked before the call
            self._meanwhile.pop()()
        return getattr(self._ledger, name)


class Workers(Mailboxes):
    """Sweeps, reconciliation, and workers that are slow, late or killed."""

    def sweep(self) -> Answer:
        for mailbox in self.boxes.values():
            self.allow_refresh(mailbox)
        return self.attempt(lambda: refresh_batch(revoke=retry_revocation, threads=0))

    @rule()
    def a_sweep(self) -> None:
        refusing, began = self.world.gate.times, timezone.now()
        report = self.sweep()
        assert isinstance(report, SweepReport) or refusing
        if not refusing:
            assert report.broken == 0
            held = Transitions(MailCredentials.objects).lanes.held_apps()  # whose mailboxes stay due, by design
            left = MailCredentials.objects.due().filter(refresh_at__lte=began).exclude(provider__in=held)
            assert not left.exists(), "a sweep has left mailboxes that were due before it"

    @rule()
    def a_reconciliation(self) -> None:
        refusing = self.world.gate.times
        report = self.attempt(reconcile_cache)
        self.learn()
        if not refusing:
            assert report.cache_error == ""
            adrift = reconcile_cache(dry_run=True).drift
            assert report.adopted or adrift == {}, "reconciliation has left the cache adrift"
            lost = MailCredentials.objects.healthy().filter(refresh_at=None)
            assert not lost.exists(), "reconciliation has left a mailbox out of the schedule"

    @rule()
    def dead_leases_are_released(self) -> None:
        MailCredentials.objects.release_dead_leases()

    @rule(limit=st.sampled_from([None, None, 1, 2]))
    def keys_are_rotated(self, limit: int | None) -> None:
        """All is sealed anew and the old keys go; or, with `limit`, the run was killed in the middle, and they stay."""
        if self.rotate(limit).ended == "done":
            self.world.drop_old_keys()

    def rotate(self, limit: int | None = None) -> RekeyReport:
        self.world.bring_key()
        report = rotate_keys(limit=limit, batch=2)
        assert report.ok, report
        return report

    @some
    @rule(number=which)
    def a_worker_claims(self, number: int) -> None:
        self.claim(self.mailbox(number))

    @at_work
    @rule(number=which, meanwhile=troubles)
    def a_worker_refreshes(self, number: int, meanwhile: list[str]) -> None:
        self.work(*self.workers.pop(number % len(self.workers)), meanwhile)

    @some
    @rule(
        number=which,
        fault=st.sampled_from(["", *sorted(FAULTS)]),
        meanwhile=troubles,
        in_vain=st.booleans(),
    )
    def a_worker_claims_and_refreshes(self, number: int, fault: str, meanwhile: list[str], in_vain: bool) -> None:
        """With `in_vain` what came cannot be saved in the end."""
        mailbox = self.mailbox(number)
        meanwhile = [*meanwhile, "refuse_save"] if in_vain else meanwhile
        self.arm(mailbox, fault)
        before = len(self.workers)
        self.claim(mailbox)
        if len(self.workers) > before:
            self.work(*self.workers.pop(), meanwhile)

    @some
    @rule(
        number=which,
        fault=st.sampled_from(["", *sorted(FAULTS)]),
        refusals=st.integers(0, 3),
        event=st.booleans(),
        by_sweep=st.booleans(),
    )
    def a_refresh_goes_wrong(self, number: int, fault: str, refusals: int, event: bool, by_sweep: bool) -> None:
        """At the provider, at the save, or both."""
        mailbox = self.mailbox(number)
        self.arm(mailbox, fault)
        self.world.gate.refuse(refusals, event=event)
        if by_sweep:
            MailCredentials.objects.filter(pk=mailbox.pk).make_due()
            self.sweep()
        else:
            self.allow_refresh(mailbox)
            self.expect_an_answer_for(mailbox, self.attempt(self.row(mailbox).refresh_now))
        self.world.gate.times = 0

    def arm(self, mailbox: Mailbox, fault: str) -> None:
        if fault:
            mailbox.provider.fail_next(1, FAULTS[fault], grant_type="refresh_token", email=mailbox.email)

    def claim(self, mailbox: Mailbox) -> None:
        rows = MailCredentials.objects.filter(pk=mailbox.pk)
        for row in rows:
            claimed = rows.claim(mailbox.pk, generation=row.generation, force=True)
            if claimed is not None:
                self.workers.append((mailbox, claimed))

    def work(self, mailbox: Mailbox, row: MailCredentials, meanwhile: list[str]) -> None:
        """Do a claimed refresh, and let things happen between the provider's reply and the save."""
        self.look_at_lease(mailbox, row)
        mailbox.budget += 1
        owner, seen = row.lease_owner, list[tuple[str, int]]()

        def happen() -> None:
            for what in meanwhile:
                self.happens(what, mailbox)
            self.learn()
            seen.extend(self.lease_of(row))
            # Who holds the lease now has the right of way, and will spend or has spent the same token.
            mailbox.losable = mailbox.losable or bool(seen and seen[0][0] not in {"", owner})

        refusing = self.world.gate.times
        try:
            refresh(row, Interrupted(happen))
        except (OperationalError, Killed):
            assert refusing or "refuse_save" in meanwhile
        if seen and seen[0][0] not in {"", owner}:
            assert seen == self.lease_of(row), "a worker has written over the lease of another"

    def lease_of(self, row: MailCredentials) -> list[tuple[str, int]]:
        return list(MailCredentials.objects.filter(pk=row.pk).values_list("lease_owner", "generation"))

    @some
    @rule(number=which, after_post=st.booleans(), lease_ends=st.booleans())
    def a_worker_is_killed(self, number: int, after_post: bool, lease_ends: bool) -> None:
        """As by kill -9, before its request or after the reply came; nothing of it is ever saved."""
        mailbox, before = self.mailbox(number), len(self.workers)
        self.claim(mailbox)
        if len(self.workers) == before:
            return
        _, row = self.workers.pop()
        if after_post:
            mailbox.budget += 1
            if self.attempt(lambda: adopt(row, Transitions(MailCredentials.objects))) is None:
                with suppress(KeyMissing):  # it was sealed anew since it was claimed, and the old key is gone
                    spend(row, row.open_refresh_token())
            self.learn(killed=True)
        if lease_ends:
            self.end_lease(mailbox)

    def look_at_lease(self, mailbox: Mailbox, row: MailCredentials) -> None:
        """A worker without its lease spends a token that others may have spent, as only a stopped process does.

        If somebody else holds the lease now, that one has the right of way, and the pair is lost.
        """
        now = MailCredentials.objects.filter(pk=row.pk).first()
        if now is None or (now.lease_owner == row.lease_owner and now.refresh_at != row.refresh_at):
            mailbox.raced = True
        elif now.lease_owner != row.lease_owner:
            mailbox.raced = True
            mailbox.losable = mailbox.losable or bool(now.lease_owner)

    def happens(self, what: str, mailbox: Mailbox) -> None:
        """Something happens to a mailbox while a worker waits for its provider."""
        self.learn()
        if mailbox not in self.boxes.values():
            return
        if what == "rotate":
            self.rotate()
        elif what == "disconnect":
            self.disconnect(mailbox, revoking_fails=True)
        elif what == "reconnect":
            self.connect(mailbox.slot)
        elif what in {"pause", "resume"}:
            self.switch(mailbox, on=what == "resume")
        elif what == "delete":
            self.delete(mailbox)
        elif what == "refuse_save":
            self.world.gate.refuse(2)
        else:
            self.outlive_lease(mailbox, what)

    def outlive_lease(self, mailbox: Mailbox, what: str) -> None:
        """The lease ends under its worker; another refreshes, takes the lease, or clears it away."""
        mailbox.raced = True
        self.end_lease(mailbox)
        if what == "overtake":
            mailbox.budget += 1
            self.attempt(self.row(mailbox).refresh_now)
        elif what == "take":
            self.claim(mailbox)
        else:
            MailCredentials.objects.release_dead_leases()
        self.learn()

    def end_lease(self, mailbox: Mailbox) -> None:
        leased = MailCredentials.objects.filter(pk=mailbox.pk).exclude(lease_owner="")
        for row in leased:
            leased.update(refresh_at=row.refresh_at - timedelta(seconds=SPANS["a lease ends"]))
