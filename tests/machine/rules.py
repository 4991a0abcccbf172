"""The whole machine: people, workers and troubles in any order, and what becomes of it when the troubles end."""

from __future__ import annotations

from django.core.cache import cache
from django.db import OperationalError
from hypothesis import strategies as st
from hypothesis.stateful import rule

from mail_oauth import parking
from mail_oauth.cache import MAIL, cache_key, read_raw, token_cache
from mail_oauth.exceptions import ProviderUnavailable
from mail_oauth.managers.vocabulary import Status
from mail_oauth.upkeep.reconcile import reconcile_cache
from tests.machine.machine import SPANS, Mailboxes, some, which
from tests.machine.oracle import Mailbox
from tests.machine.people import People
from tests.machine.watched import FAULTS
from tests.machine.workers import Workers
from tests.machine.world import Killed, write_raw


class Troubles(Mailboxes):
    """What fails around the app."""

    @some
    @rule(number=which, name=st.sampled_from(sorted(FAULTS)))
    def the_next_refresh_fails(self, number: int, name: str) -> None:
        mailbox = self.mailbox(number)
        mailbox.provider.fail_next(1, FAULTS[name], grant_type="refresh_token", email=mailbox.email)

    @some
    @rule(number=which)
    def the_provider_revokes(self, number: int) -> None:
        mailbox = self.mailbox(number)
        mailbox.provider.revoke(mailbox.email, mailbox.slot.personality)

    @rule(times=st.integers(1, 4), event=st.booleans(), error=st.sampled_from([OperationalError, Killed]))
    def the_database_refuses_to_save(self, times: int, event: bool, error: type[BaseException]) -> None:
        self.world.gate.refuse(times, event=event, error=error)

    @rule()
    def the_cache_is_flushed(self) -> None:
        for mailbox in self.boxes.values():
            stored = self.row(mailbox).open_refresh_token().reveal()
            mailbox.losable = mailbox.losable or (mailbox.connected and stored not in mailbox.good)
        cache.clear()

    @some
    @rule(number=which, other=which, kind=st.sampled_from(["junk", "pickle", "altered", "moved"]))
    def a_cached_value_is_poisoned_and_read(self, number: int, other: int, kind: str) -> None:
        mailbox, row = self.mailbox(number), self.row(self.mailbox(number))
        header = f"1|{row.generation}|{int(row.created_at.timestamp())}|9999999999|".encode()
        values = {
            "junk": b"\xff\x00junk",
            "pickle": {"access_token": "made up"},
            "altered": header + b"mo1:0123456789abcdef:gAAAAA",
            "moved": read_raw(cache_key(self.mailbox(other).pk, MAIL)),
        }
        write_raw(cache_key(mailbox.pk, MAIL), values[kind])
        self.allow_refresh(mailbox)
        self.expect_an_answer_for(mailbox, self.attempt(self.row(mailbox).get_access_token))
        token_cache.forget(mailbox.pk)

    @rule(span=st.sampled_from(sorted(SPANS)))
    def time_passes(self, span: str) -> None:
        self.world.pass_time(SPANS[span])


class Machine(People, Workers, Troubles):
    """All of them at once, and what becomes of it when the troubles end."""

    @rule()
    def time_heals(self) -> None:
        """Without further trouble every mailbox whose grant lives works again by itself."""
        self.world.gate.times = 0
        for provider in self.world.providers:
            provider.clear_faults()
        self.workers.clear()
        for _ in range(2):
            self.world.pass_time(SPANS["the longest pause ends"])
            reconcile_cache()
            self.sweep()
            self.learn()
        for mailbox in self.boxes.values():
            if self.row(mailbox).status != Status.NEEDS_REAUTH and mailbox.connected and not mailbox.losable:
                self.works_again(mailbox)

    def works_again(self, mailbox: Mailbox) -> None:
        if mailbox.paused or not mailbox.grant_lives:
            return
        asked = mailbox.posts
        self.allow_refresh(mailbox)
        answer = self.attempt(self.row(mailbox).refresh_now)
        self.learn()
        held_back = isinstance(answer, ProviderUnavailable) and mailbox.posts == asked
        assert held_back or not isinstance(answer, BaseException), f"the grant lives, but {answer!r}"
        assert parking.parked(mailbox.pk) is None or held_back, "a pair is still parked"
