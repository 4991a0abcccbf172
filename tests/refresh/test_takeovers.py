"""A lease that ended under a worker that was killed, stopped or slow: what came for it is not lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from mail_oauth import parking
from mail_oauth.connect.disconnect import disconnect
from mail_oauth.connect.switch import pause
from mail_oauth.exceptions import ProviderUnavailable, ReauthRequired
from mail_oauth.managers.latecomers import INSISTENCE
from mail_oauth.managers.transitions import Transitions
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import MailCredentials
from mail_oauth.refresh.classification import Action
from mail_oauth.refresh.replies import parse_tokens
from mail_oauth.refresh.verdicts import Verdict
from mail_oauth.testing.faults import Fault
from mail_oauth.tokens import Secret, TokenSet
from tests.mailboxes import stored

pytestmark = pytest.mark.django_db

PAIR = TokenSet(access_token=Secret("new"), expires_in=3600, refresh_token=Secret("the-new-one"))
REFUSED = Verdict(action=Action.RETRY, reason="no_access_token", rotated=Secret("the-new-one"))
HALF_A_MINUTE = timedelta(seconds=30)


class Overtaken(Transitions):
    """Whenever it has read a row, somebody else changes that row, the given number of times."""

    def __init__(self, times: int) -> None:
        super().__init__(MailCredentials.objects)
        self.times = times

    def now(self, grant: MailCredentials) -> MailCredentials | None:
        row = super().now(grant)
        if self.times > 0:
            self.times -= 1
            MailCredentials.objects.filter(pk=grant.pk).update(generation=F("generation") + 1)
        return row


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
    pair = parse_tokens(provider.grant(stopped.email, personality="oidc", scope=stopped.requested_scopes))
    with provider.fault(Fault.html(503), endpoint="revoke"):
        disconnect(stopped)  # the old token stays, for the revocation to be tried again
    assert transitions.save_tokens(stopped, pair) is None
    assert MailCredentials.objects.get().status == Status.DISCONNECTED


def test_a_token_rotated_in_a_refused_reply_outlives_a_pause(stopped, transitions):
    pause(MailCredentials.objects.get())
    assert transitions.save_failure(stopped, REFUSED, HALF_A_MINUTE)
    row = MailCredentials.objects.get()
    assert row.open_refresh_token().reveal() == "the-new-one"
    assert not row.use_oauth
    assert row.refresh_at is None


def test_a_token_rotated_in_a_refused_reply_waits_for_who_took_over(locmem_cache, stopped, provider, transitions):
    """The one who took over sent the token that is spent: what came for it must be there when it is refused."""
    provider.revoke(stopped.email)
    pair = parse_tokens(provider.grant(stopped.email, personality="oidc", scope=stopped.requested_scopes))
    other = MailCredentials.objects.claim(stopped.pk, generation=stopped.generation)
    refused = replace(REFUSED, rotated=pair.refresh_token)
    assert not transitions.save_failure(stopped, refused, HALF_A_MINUTE)
    assert transitions.save_failure(other, Verdict(action=Action.RETRY, reason="http_503"), HALF_A_MINUTE)
    stored(stopped).refresh_now()
    assert provider.is_current_refresh_token(stored(stopped).open_refresh_token().reveal())
    assert parking.parked(stopped.pk) is None


def test_a_token_rotated_in_a_refused_reply_is_revoked_after_a_disconnect(stopped, provider, transitions):
    with provider.fault(Fault.html(503), endpoint="revoke"):
        disconnect(stopped)
    assert not transitions.save_failure(stopped, REFUSED, HALF_A_MINUTE)
    row = stored(stopped)
    assert (row.status, row.open_refresh_token().reveal()) == (Status.DISCONNECTED, "the-new-one")
    assert row.refresh_at is not None


def test_a_rotated_token_is_saved_however_often_others_come_first(stopped):
    MailCredentials.objects.update(generation=F("generation") + 1)
    assert Overtaken(INSISTENCE - 1).save_tokens(stopped, PAIR) is not None
    assert stored(stopped).open_refresh_token().reveal() == "the-new-one"


def test_one_of_a_refused_reply_is_so_too(stopped):
    MailCredentials.objects.update(generation=F("generation") + 1)
    assert Overtaken(INSISTENCE - 1).save_failure(stopped, REFUSED, HALF_A_MINUTE)
    assert stored(stopped).open_refresh_token().reveal() == "the-new-one"


def test_a_rotated_token_is_parked_where_others_always_come_first(locmem_cache, stopped):
    MailCredentials.objects.update(generation=F("generation") + 1)
    assert Overtaken(1000).save_tokens(stopped, PAIR) is None
    assert parking.parked(stopped.pk).tokens.refresh_token.reveal() == "the-new-one"


def test_a_rotated_token_is_revoked_though_others_change_a_disconnected_mailbox(stopped, provider):
    with provider.fault(Fault.html(503), endpoint="revoke"):
        disconnect(stopped)
    assert Overtaken(3).save_tokens(stopped, PAIR) is None
    assert stored(stopped).open_refresh_token().reveal() == "the-new-one"
