"""What users, operators and the code that asks for tokens may do."""

from __future__ import annotations

from django.db import DatabaseError, transaction
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from mail_oauth.connect.disconnect import retry_revocation
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from tests.machine.machine import Mailboxes, some, which
from tests.machine.oracle import SLOTS


class People(Mailboxes):
    """Users, operators and the code that asks for tokens."""

    @initialize(slots=st.sets(which, min_size=2, max_size=3))
    def begin_with(self, slots: set[int]) -> None:
        for number in sorted(slots):
            self.connect(SLOTS[number])

    @rule(number=which)
    def somebody_connects(self, number: int) -> None:
        self.connect(SLOTS[number])

    @some
    @rule(number=which, how=st.sampled_from(["disconnect", "disconnect in vain", "delete", "delete the user"]))
    def somebody_leaves(self, number: int, how: str) -> None:
        mailbox = self.mailbox(number)
        if how.startswith("delete"):
            self.delete(mailbox, with_user=how == "delete the user")
        else:
            self.disconnect(mailbox, revoking_fails=how == "disconnect in vain")

    @some
    @rule(number=which)
    def somebody_leaves_and_comes_back(self, number: int) -> None:
        """So fast that the attempt to revoke the old grant ends after the new one has begun."""
        mailbox = self.mailbox(number)
        self.disconnect(mailbox, revoking_fails=True)
        left = self.row(mailbox)
        self.connect(mailbox.slot)
        if left.status == Status.DISCONNECTED:
            self.attempt(lambda: retry_revocation(left))

    @some
    @rule(number=which, on=st.booleans())
    def oauth_is_switched(self, number: int, on: bool) -> None:
        self.switch(self.mailbox(number), on=on)

    @some
    @rule(number=which, min_validity=st.sampled_from([None, 1800]))
    def code_asks_for_a_token(self, number: int, min_validity: float | None) -> None:
        mailbox = self.mailbox(number)
        self.allow_refresh(mailbox)
        ask = MailCredentials.objects.get_access_token
        self.expect_an_answer_for(mailbox, self.attempt(lambda: ask(mailbox.pk, min_validity=min_validity)))

    @some
    @rule(number=which)
    def code_forces_a_refresh(self, number: int) -> None:
        mailbox = self.mailbox(number)
        self.allow_refresh(mailbox)
        self.expect_an_answer_for(mailbox, self.attempt(self.row(mailbox).refresh_now))

    @some
    @rule(number=which)
    def code_keeps_a_copy_of_a_row(self, number: int) -> None:
        self.copies.append(self.row(self.mailbox(number)))

    @precondition(lambda self: self.copies)
    @rule(number=which, use=st.sampled_from(["ask", "save", "revoke"]))
    def code_uses_an_old_copy(self, number: int, use: str) -> None:
        """Saving it changes nothing that is managed and brings no row back; asking it is asking the row."""
        copy = self.copies[number % len(self.copies)]
        mailbox = next((each for each in self.boxes.values() if each.pk == copy.pk), None)
        if mailbox is not None and use == "ask":
            self.allow_refresh(mailbox)
            self.expect_an_answer_for(mailbox, self.attempt(copy.get_access_token))
        elif use == "save":
            self.save(copy, there=mailbox is not None)
        elif copy.status == Status.DISCONNECTED:
            self.attempt(lambda: retry_revocation(copy))  # late: somebody may have connected again

    def save(self, copy: MailCredentials, *, there: bool) -> None:
        try:
            with transaction.atomic():
                copy.save()
        except DatabaseError:
            assert not there, "a copy cannot be saved"
