"""Where lanes meet everything else: nothing is lost, nobody is blamed, and a hold costs no more than it must."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from mail_oauth import parking
from mail_oauth.connect.disconnect import retry_revocation
from mail_oauth.exceptions import MailboxError, ProviderUnavailable
from mail_oauth.managers.counts import slot_of
from mail_oauth.managers.lanes import Lanes
from mail_oauth.managers.transitions import Transitions
from mail_oauth.managers.vocabulary import CountedOutcome, Status
from mail_oauth.models import MailCredentials, ProviderHealth, RefreshCount
from mail_oauth.providers.contract import Provider
from mail_oauth.refresh.adoption import park
from mail_oauth.refresh.classification import Action, Trouble
from mail_oauth.refresh.verdicts import Verdict, judge
from mail_oauth.testing.faults import Fault
from mail_oauth.tokens import Secret, TokenSet
from mail_oauth.upkeep.sweep import refresh_batch
from tests.concurrency import together
from tests.losses.passing import pass_time, sweep
from tests.mailboxes import stored
from tests.verdicts.replies import reply

pytestmark = pytest.mark.django_db

BAD_SECRET = Fault.oauth_error("invalid_client", status=401, aadsts=7000215)
MINUTE = timedelta(minutes=1)
PAIR = TokenSet(access_token=Secret("new"), expires_in=3600, refresh_token=Secret("rotated"))


def fail(row: MailCredentials) -> None:
    with pytest.raises(MailboxError):
        row.get_access_token()


@pytest.fixture
def held(tenants, provider) -> MailCredentials:
    """A mailbox for whose sake the calls of its app are held."""
    (row,) = tenants(a=1)
    with provider.fault(BAD_SECRET):
        fail(row)
    return row


class TestARotatedTokenIsKept:
    def taken_over(self, mailbox: MailCredentials) -> tuple[MailCredentials, MailCredentials]:
        """The one whose lease has ended, and the one who holds it now."""
        late = MailCredentials.objects.claim(mailbox.pk, generation=mailbox.generation)
        MailCredentials.objects.update(refresh_at=timezone.now() - MINUTE)
        return late, MailCredentials.objects.claim(mailbox.pk, generation=late.generation)

    def test_when_who_took_over_met_a_code_that_nobody_knows(self, connect):
        mailbox, ledger = connect("keycloak", seconds_left=-10), Transitions(MailCredentials.objects)
        late, other = self.taken_over(mailbox)
        ledger.save_failure(other, Verdict(action=Action.UNKNOWN, reason="odd"), timedelta(hours=1))
        assert stored(mailbox).status == Status.NEEDS_ATTENTION
        ledger.save_tokens(late, PAIR)
        assert stored(mailbox).open_refresh_token().reveal() == "rotated"

    def test_when_the_mailbox_was_reinstated_meanwhile(self, connect):
        mailbox = connect("keycloak", seconds_left=-10, status=Status.NEEDS_ADMIN)
        ledger = Transitions(MailCredentials.objects)
        late, other = self.taken_over(mailbox)
        ledger.save_failure(other, Verdict(action=Action.REAUTH, reason="invalid_grant"), None)
        ledger.reinstate(mailbox.pk, "invalid_grant_held", 3600)
        ledger.save_tokens(late, PAIR)
        assert stored(mailbox).open_refresh_token().reveal() == "rotated"

    def test_when_a_projects_provider_cannot_compare_scopes(self, connect, monkeypatch):
        mailbox = connect("keycloak", seconds_left=-10)
        old = mailbox.open_refresh_token()
        monkeypatch.setattr(Provider, "missing_scopes", lambda *_: 1 / 0)
        assert mailbox.get_access_token()
        assert stored(mailbox).open_refresh_token() != old

    def test_when_what_a_refresh_taught_cannot_be_saved(self, connect, monkeypatch):
        monkeypatch.setattr(Lanes, "_learn", lambda *_: ProviderHealth.objects.get(pk=0))
        assert connect("keycloak", seconds_left=-10).get_access_token()

    def test_when_it_waits_parked_under_a_held_lane(self, tenants, held):
        (row,) = tenants(a=1)
        park(MailCredentials.objects.claim(row.pk, generation=row.generation), PAIR, timezone.now())
        MailCredentials.objects.filter(pk=row.pk).update(refresh_at=timezone.now() - MINUTE)  # the lease has ended
        assert parking.waiting([row.pk])
        sweep()
        assert stored(row).open_refresh_token().reveal() == "rotated", "adopting calls nobody"


class TestAHold:
    def test_ends_a_sweep_that_is_told_to_stop(self, tenants, held):
        tenants(a=30)
        report = refresh_batch(revoke=retry_revocation, threads=1, size=2, seconds=0.0, stopped=lambda: True)
        assert report.held <= 4

    def test_is_not_lengthened_by_impatience(self, tenants, provider, held):
        before = ProviderHealth.objects.get().held_until
        with provider.fault(BAD_SECRET):
            for _ in range(6):
                with pytest.raises(ProviderUnavailable):
                    held.refresh_now()
        assert ProviderHealth.objects.get().held_until == before

    def test_costs_a_rejected_token_no_interval(self, connect, held):
        row = connect(tenant="a")
        token = row.get_access_token()
        with pytest.raises(ProviderUnavailable, match="7000215"):
            row.report_rejected(token)
        Transitions(MailCredentials.objects).lanes.release(ProviderHealth.objects.get().pk)
        assert row.report_rejected(token) != token

    def test_delays_no_revocation(self, connect, held):
        gone = connect(tenant="a", status=Status.DISCONNECTED)
        MailCredentials.objects.filter(pk=gone.pk).update(refresh_at=timezone.now() - MINUTE)
        asked = []
        refresh_batch(revoke=lambda row: asked.append(row.pk), threads=0)
        assert asked == [gone.pk]

    def test_of_a_client_ends_with_a_refusal_that_is_not_believed_yet(self, tenants, provider, held):
        (row,) = tenants(a=1)
        pass_time(MINUTE * 3)
        MailCredentials.objects.filter(pk=row.pk).update(outcome_unknown=True)
        provider.fail_next(1, Fault.oauth_error("invalid_grant"), email=row.email)
        fail(stored(row))
        assert not ProviderHealth.objects.get().held, "invalid_grant is said to clients that authenticated"

    def test_stops_no_sweep_where_a_projects_provider_fails(self, connect, provider, held, monkeypatch):
        real = Provider.organisation
        odd = connect("keycloak", seconds_left=-10)
        connect("google", seconds_left=-10)
        monkeypatch.setattr(
            Provider, "organisation", lambda self, name: 1 / 0 if self.alias == odd.provider else real(self, name)
        )
        assert sweep().refreshed == 2

    def test_for_an_outage_that_ends_in_a_throttle_is_told_once(self, tenants, provider, alerts):
        tenants(a=6)
        with provider.fault(Fault.html(503)):
            sweep()
        pass_time(MINUTE * 3)
        with provider.fault(Fault.rate_limited("30")):
            sweep()
        assert alerts == ["held microsoft/ outage"]


def test_a_passing_number_with_a_wish_for_a_pause_is_a_throttle():
    fields = {"error": "temporarily_unavailable", "error_codes": [90055]}
    assert judge(reply(fields, 400, retry_after="30"), family="microsoft").trouble is Trouble.THROTTLE


@pytest.mark.django_db(transaction=True)
def test_many_that_meet_one_trouble_tell_it_once(provider, separate_connections, alerts):
    verdict = Verdict(action=Action.OPERATOR, reason="x", trouble=Trouble.CLIENT)
    together(8, lambda: Transitions(MailCredentials.objects).lanes._hold("microsoft", "", verdict, 60))
    assert alerts == ["held microsoft/ client"]


class TestTheBrake:
    REFUSED = Fault.oauth_error("invalid_grant", aadsts=70000)
    ROTATED = Fault.json_value({"error": "invalid_grant", "error_codes": [70000], "refresh_token": "rotated"})

    @pytest.fixture(autouse=True)
    def small(self, provider, settings):
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "BRAKE_COUNT": 4}

    def test_that_fails_to_take_something_back_costs_no_rotated_token(self, tenants, provider, monkeypatch):
        *rows, last = tenants(a=4)
        for row in rows:
            provider.fail_next(1, self.REFUSED, email=row.email)
            fail(row)
        provider.fail_next(1, self.ROTATED, email=last.email)
        monkeypatch.setattr(Transitions, "reinstate", lambda *_: _raise(OperationalError("deadlock")))
        fail(last)
        assert stored(last).open_refresh_token().reveal() == "rotated"

    def test_takes_back_at_the_next_refusal_what_it_could_not_at_first(self, tenants, provider, monkeypatch):
        tenants(a=8)
        real, calls = Transitions.reinstate, []

        def fails_at_first(self, *arguments):
            calls.append(arguments)
            return _raise(OperationalError("deadlock")) if len(calls) == 1 else real(self, *arguments)

        monkeypatch.setattr(Transitions, "reinstate", fails_at_first)
        with provider.fault(self.REFUSED):
            sweep()
        assert not MailCredentials.objects.filter(status=Status.NEEDS_REAUTH).exists()

    def test_takes_back_who_was_told_while_it_was_pulled(self, tenants, provider, monkeypatch):
        first, *rest = tenants(a=8)
        real, begun = Transitions.save_failure, []

        def slow(self, grant, *arguments):
            if not begun:
                begun.append(grant.pk)
                for row in rest:
                    with suppress(MailboxError):
                        row.get_access_token()
            return real(self, grant, *arguments)

        monkeypatch.setattr(Transitions, "save_failure", slow)
        with provider.fault(self.REFUSED):
            fail(first)
        assert not MailCredentials.objects.filter(status=Status.NEEDS_REAUTH).exists()

    def test_is_not_pulled_for_everybody_by_a_few_personal_accounts(self, connect, provider, alerts):
        personal = "9188040d-6c67-4c5b-b112-36a304b66dad"
        for _ in range(40):
            connect(seconds_left=3000, tenant=personal, last_refreshed_at=timezone.now())
        RefreshCount.objects.add((slot_of(timezone.now()), "microsoft", CountedOutcome.GRANTED), 40)
        for _ in range(4):
            row = connect(seconds_left=-10, tenant=personal)
            provider.fail_next(1, self.REFUSED, email=row.email)
            fail(row)
        assert alerts == []

    def test_gives_who_is_refused_late_the_same_time(self, tenants, provider):
        tenants(a=8)
        with provider.fault(self.REFUSED):
            sweep()
            pass_time(timedelta(minutes=59, seconds=30))
            (late,) = tenants(a=1)
            fail(late)
            pass_time(timedelta(minutes=2))
            sweep()
        assert stored(late).status == Status.CONNECTED

    def test_is_not_passed_by_force(self, tenants, provider):
        rows = tenants(a=8)
        with provider.fault(self.REFUSED):
            sweep()
            with pytest.raises(ProviderUnavailable):
                rows[5].refresh_now()
        assert stored(rows[5]).status == Status.CONNECTED

    def test_lets_what_lasted_count_on(self, tenants, provider):
        tenants(a=8)
        with provider.fault(self.REFUSED):
            sweep()
        (late,) = tenants(a=1)
        MailCredentials.objects.filter(pk=late.pk).update(refresh_failures=4, last_refresh_error="AADSTS50053")
        with provider.fault(Fault.oauth_error("invalid_grant", aadsts=50053)):
            fail(stored(late))
            assert stored(late).last_refresh_error == "AADSTS50053_held"
            pass_time(timedelta(hours=12))
            sweep()
        assert stored(late).status == Status.NEEDS_REAUTH

    @pytest.mark.django_db(transaction=True)
    def test_that_was_pulled_anew_is_not_released_by_who_knows_the_old_one(self, connect):
        row, lanes = connect(tenant="a"), Transitions(MailCredentials.objects).lanes
        verdict = Verdict(action=Action.REAUTH, reason="x", trouble=Trouble.REAUTH)
        lanes._hold("microsoft", "a", verdict, -1)
        lanes.holding(row)  # this process has read it
        ProviderHealth.objects.release(ProviderHealth.objects.get().pk)
        ProviderHealth.objects.hold("microsoft", "a", Trouble.REAUTH, reason="x", seconds=3600)
        lanes.brake(row, verdict)
        assert ProviderHealth.objects.get().held


def _raise(error: Exception) -> None:
    raise error
