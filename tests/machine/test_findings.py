"""Minimal tests of what the machine has found."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from mail_oauth import parking
from mail_oauth.connect.disconnect import disconnect
from mail_oauth.connect.switch import pause
from mail_oauth.managers.transitions import Transitions
from mail_oauth.models import MailCredentials
from mail_oauth.refresh.engine import refresh
from mail_oauth.testing.faults import Fault
from tests.machine.workers import Interrupted

pytestmark = pytest.mark.django_db


def test_a_late_pair_is_not_lost_while_another_holds_the_lease(connect, provider):
    """The stale write is rightly refused; but the pair, the one copy of a living grant, should then be parked."""
    provider.configure(detect_reuse=False)  # single-use tokens, but a second use does not end the grant
    mailbox = connect("keycloak", seconds_left=-10)
    late = MailCredentials.objects.claim(mailbox.pk, generation=mailbox.generation)
    taken: list[MailCredentials | None] = []

    def take_over() -> None:
        MailCredentials.objects.update(refresh_at=timezone.now() - timedelta(seconds=1))
        taken.append(MailCredentials.objects.claim(mailbox.pk, generation=mailbox.generation))

    assert refresh(late, Interrupted(take_over)).token is None
    refresh(taken[0], Transitions(MailCredentials.objects))
    MailCredentials.objects.update(refresh_at=timezone.now() - timedelta(seconds=1))
    assert mailbox.get_access_token(), "the grant lives, in the pair that was thrown away"


def test_a_pause_does_not_end_the_attempts_to_revoke(connect, provider):
    row = connect("keycloak")
    with provider.fault(Fault.html(503), endpoint="revoke"):
        disconnect(row)
    pause(MailCredentials.objects.get())
    assert MailCredentials.objects.get().refresh_at is not None, "the grant is never revoked"


def test_a_pause_does_not_forget_that_an_outcome_is_unknown(connect, provider):
    mailbox = connect("keycloak", seconds_left=-10)
    late = MailCredentials.objects.claim(mailbox.pk, generation=mailbox.generation)
    provider.fail_next(1, Fault.drop_after_rotation())
    refresh(late, Interrupted(lambda: pause(MailCredentials.objects.get())))
    assert MailCredentials.objects.get().outcome_unknown
    assert parking.parked(mailbox.pk) is None
