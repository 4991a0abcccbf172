"""The machine's body: how rules act on mailboxes, tell the oracle, and what is checked after each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import User
from django.db import OperationalError
from django.utils import timezone
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition

from mail_oauth.connect.answers import parse_answer
from mail_oauth.connect.attempts import Wish, begin, take
from mail_oauth.connect.complete import complete
from mail_oauth.connect.disconnect import disconnect
from mail_oauth.connect.switch import pause, resume
from mail_oauth.exceptions import ConnectRefused, MailboxDisconnected, MailboxError
from mail_oauth.managers.queryset import REFRESHABLE
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.providers import provider_for
from mail_oauth.refresh.adoption import parked_for
from mail_oauth.testing.faults import Fault
from mail_oauth.tokens import Secret
from tests.machine import promises
from tests.machine.oracle import SLOTS, Mailbox, Slot
from tests.machine.world import CALLBACK, Killed, World

SPANS = {"a lease ends": 130, "a token ages": 3400, "a token expires": 3700, "the longest pause ends": 9 * 3600}
"""In seconds."""

which = st.integers(min_value=0, max_value=len(SLOTS) - 1)
some = precondition(lambda self: self.boxes)

Answer = Any
"""What an action returned, or the error that a caller must be ready for."""


class Mailboxes(RuleBasedStateMachine):
    """Some mailboxes and what is known of them. `world` is set by the test."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.world.clear()
        self.world.examples += 1
        self.boxes: dict[Slot, Mailbox] = {}
        self.gone: list[Mailbox] = []
        self.workers: list[tuple[Mailbox, MailCredentials]] = []
        self.copies: list[MailCredentials] = []
        self.refresh_tokens: set[str] = set()

    def teardown(self) -> None:
        try:
            promises.no_secret_is_logged(self.world)
        finally:
            self.world.clear()

    @invariant()
    def every_promise_holds(self) -> None:
        self.learn()
        self.world.steps += 1
        rows = [self.row(mailbox) for mailbox in self.boxes.values()]
        for mailbox, row in zip(self.boxes.values(), rows, strict=True):
            promises.no_refresh_token_is_lost(mailbox, row)
            promises.only_a_refusal_of_the_grant_troubles_its_user(mailbox, row)
            promises.nothing_unusable_answers_from_the_cache(row)
            promises.what_is_cached_is_a_copy_of_the_row(mailbox, row)
            promises.every_change_has_one_event(self.world, mailbox, row)
            promises.no_needless_post(mailbox)
            promises.it_is_scheduled(row)
            mailbox.posts = mailbox.budget = 0
        for mailbox in self.gone:
            promises.what_is_gone_stays_gone(mailbox)
        promises.no_refresh_token_is_cached(self.world, self.refresh_tokens, rows)

    # --- how rules speak ---

    def mailbox(self, number: int) -> Mailbox:
        present = list(self.boxes.values())
        return present[number % len(present)]

    def row(self, mailbox: Mailbox) -> MailCredentials:
        return MailCredentials.objects.get(pk=mailbox.pk)

    def attempt(self, action: Callable[[], Answer]) -> Answer:
        """Do what a caller does, who is ready for errors; for the database's only while it refuses."""
        refusing = self.world.gate.times
        try:
            return action()
        except MailboxError as error:
            return error
        except (OperationalError, Killed) as error:
            assert refusing, "the database fails, but not by our doing"
            return error

    def learn(self, *, killed: bool = False) -> None:
        """Tell the oracle what went over the wire since it last looked."""
        for provider in self.world.providers:
            posts, provider.posts = provider.posts, []
            self.refresh_tokens |= {post.given for post in posts if post.given}
            for mailbox in self.boxes.values():
                if mailbox.provider is provider:
                    mailbox.absorb(posts, killed=killed)

    def allow_refresh(self, mailbox: Mailbox) -> None:
        """Let this step ask the provider once, but for nothing that is parked or that cannot be refreshed."""
        row = self.row(mailbox)
        pair = parked_for(row, look_only=True)
        spare = pair is not None and pair.tokens.expires_in > 0 and pair.tokens.access_token
        adoptable = spare and row.token_expiry is not None and self._fresh(pair)
        if row.status in REFRESHABLE and row.use_oauth and not adoptable:
            mailbox.budget += 1

    def _fresh(self, pair: Any) -> bool:
        return bool(pair.seconds_left(timezone.now()) > 400)

    def expect_an_answer_for(self, mailbox: Mailbox, answer: Answer) -> None:
        """A token is this mailbox's; whose mailbox is switched off or disconnected is told so, and nobody else."""
        self.learn()
        off = mailbox.paused or not mailbox.connected
        if isinstance(answer, Killed):  # while something was written down: nobody got an answer
            return
        if isinstance(answer, BaseException):
            assert isinstance(answer, MailboxDisconnected) == off, f"{answer!r}, but off is {off}"
        else:
            promises.the_token_is_this_mailboxs(mailbox, answer)

    # --- what people do ---

    def connect(self, slot: Slot) -> None:
        """Walk the whole consent, through the provider's own pages."""
        provider = self.world.strict if slot.strict else self.world.lenient
        email, session = f"{slot.alias}{self.world.examples}@example.com", {}
        if not provider.knows(email):
            provider.add_account(email)
        user = User.objects.get_or_create(username=f"owner{slot.owner}")[0]
        wish = Wish(typed_email=email if slot.typed else "")
        url = begin(provider_for(slot.alias), user, session, f"{CALLBACK}/callback/{slot.alias}/", wish)
        answer = parse_answer(Secret(provider.authorize(url.reveal(), email=email).partition("?")[2]))
        attempt = take(answer.state, alias=slot.alias, user=user, session=session)
        self.learn()
        refused = self.world.gate.refused
        try:
            row = self.attempt(lambda: complete(attempt, answer))
        except ConnectRefused:
            assert self.world.gate.refused > refused, "a consent was refused although nothing was wrong"
            return
        if isinstance(row, BaseException):
            return
        grant = provider.tokens_of(email, slot.personality)[-1]
        mailbox = self.boxes.setdefault(slot, Mailbox(slot=slot, pk=row.pk, email=email, provider=provider))
        assert mailbox.pk == row.pk, "the same account was given another row"
        mailbox.begin(grant.id, grant.newest or "")
        self.refresh_tokens.add(mailbox.held)

    def disconnect(self, mailbox: Mailbox, *, revoking_fails: bool = False) -> None:
        if revoking_fails:
            mailbox.provider.fail_next(1, Fault.html(503), endpoint="revoke")
        answer = self.attempt(lambda: disconnect(self.row(mailbox)))
        self.learn()
        # Of a database that refuses a person is told; whether before or after the first of the two saves?
        left = self.row(mailbox).status == Status.DISCONNECTED
        assert left or isinstance(answer, BaseException), "disconnected without effect"
        mailbox.connected = mailbox.connected and not left

    def switch(self, mailbox: Mailbox, *, on: bool) -> None:
        answer = self.attempt(lambda: (resume if on else pause)(self.row(mailbox)))
        self.learn()
        if not isinstance(answer, BaseException):
            mailbox.paused = not on
            mailbox.unknown = False  # a pause takes the lease, and with it what was known of its attempt

    def delete(self, mailbox: Mailbox, *, with_user: bool = False) -> None:
        row = self.row(mailbox)
        (row.user if with_user else row).delete()
        self.learn()
        for slot, each in list(self.boxes.items()):
            if each is mailbox or (with_user and each.slot.owner == mailbox.slot.owner):
                self.gone.append(self.boxes.pop(slot))
