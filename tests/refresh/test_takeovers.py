"""A lease that ended under a worker that was killed, stopped or slow: what came for it is not lost."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from mail_oauth.connect.switch import pause
from mail_oauth.exceptions import ProviderUnavailable, ReauthRequired
from mail_oauth.managers.transitions import Transitions
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import MailCredentials
from mail_oauth.refresh.classification import Action
from mail_oauth.refresh.replies import parse_tokens
from mail_oauth.refresh.verdicts import Verdict
from mail_oauth.tokens import Secret

pytestmark = pytest.mark.django_db


@pytest.fixture
def transitions() -> Transitions:
    return Transitions(MailCredentials.objects)


@pytest.fixture
def stopped(connect):
    """An expired mailbox, as a worker that was stopped beyond its lease had claimed it."""
    mailbox = connect("keycloak", seconds_left=-10)
    claimed = MailCredentials.objects.claim(mailbox.pk, generation=mailbox.generation)
    assert claimed is not None
    assert not claimed.outcome_unknown
    MailCredentials.objects.filter(pk=mailbox.pk).update(refresh_at=timezone.now() - timedelta(seconds=1))
    return claimed


def test_who_takes_over_does_not_blame_the_grant_at_once(stopped, provider):
    provider.revoke(stopped.email)  # the token that is stored was spent by the one who was stopped
    with pytest.raises(ProviderUnavailable):
        stopped.get_access_token()
    row = MailCredentials.objects.get()
    assert (row.status, row.last_refresh_error) == (Status.CONNECTED, "invalid_grant_after_unknown")
    with pytest.raises(ReauthRequired):
        row.refresh_now()


def test_reconciliation_that_clears_a_dead_lease_remembers_it(stopped):
    MailCredentials.objects.update(refresh_at=timezone.now() - timedelta(hours=1))
    assert MailCredentials.objects.release_dead_leases() == 1
    assert MailCredentials.objects.get().outcome_unknown


def test_a_late_pair_wins_over_the_refusal_of_the_token_that_it_replaced(stopped, provider, transitions):
    pair = parse_tokens(provider.grant(stopped.email, personality="oidc", scope=stopped.requested_scopes))
    other = MailCredentials.objects.claim(stopped.pk, generation=stopped.generation)
    assert transitions.save_failure(other, Verdict(action=Action.REAUTH, reason="invalid_grant"), None)
    assert MailCredentials.objects.get().status == Status.NEEDS_REAUTH

    assert transitions.save_tokens(stopped, pair) is not None
    row = MailCredentials.objects.get()
    assert (row.status, row.refresh_failures) == (Status.CONNECTED, 0)
    assert row.open_refresh_token() == pair.refresh_token
    assert row.events.order_by("pk").last().kind == EventKind.RECOVERED


def test_a_late_pair_does_not_undo_a_disconnect(stopped, provider, transitions):
    from mail_oauth.connect.disconnect import disconnect
    from mail_oauth.testing.faults import Fault

    pair = parse_tokens(provider.grant(stopped.email, personality="oidc", scope=stopped.requested_scopes))
    with provider.fault(Fault.html(503), endpoint="revoke"):
        disconnect(stopped)  # the old token stays, for the revocation to be tried again
    assert transitions.save_tokens(stopped, pair) is None
    assert MailCredentials.objects.get().status == Status.DISCONNECTED


def test_a_token_rotated_in_a_refused_reply_outlives_a_pause(stopped, transitions):
    pause(MailCredentials.objects.get())
    verdict = Verdict(action=Action.RETRY, reason="no_access_token", rotated=Secret("the-new-one"))
    assert transitions.save_failure(stopped, verdict, timedelta(seconds=30))
    row = MailCredentials.objects.get()
    assert row.open_refresh_token().reveal() == "the-new-one"
    assert not row.use_oauth
    assert row.refresh_at is None
