"""A fault of the site, or of one customer, is told once, blames no mailbox, and passes by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mail_oauth.exceptions import ProviderUnavailable
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import CredentialEvent, MailCredentials, ProviderFault, ProviderHealth
from mail_oauth.refresh.classification import Trouble
from mail_oauth.testing.faults import Fault
from tests.losses.passing import pass_time, sweep

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)
BAD_SECRET = Fault.oauth_error("invalid_client", status=401, aadsts=7000215)
NO_SUCH_APP = Fault.oauth_error("unauthorized_client", aadsts=700016)


def statuses() -> set[str]:
    return set(MailCredentials.objects.values_list("status", flat=True))


def held() -> set[tuple[str, str, str]]:
    return set(ProviderHealth.objects.filter(held=True).values_list("provider", "tenant", "trouble"))


def make_due() -> None:
    MailCredentials.objects.make_due()


class TestABadClientSecret:
    """n8n#22567: one expired client secret demoted everyone."""

    @pytest.mark.parametrize("fault", [BAD_SECRET, Fault.oauth_error("invalid_client", aadsts=7000222)])
    def test_opens_the_circuit_at_once_with_one_alert_and_blames_nobody(self, tenants, provider, alerts, fault):
        tenants(a=8, b=8)
        provider.clear_calls()
        with provider.fault(fault):
            report = sweep()
            assert (report.failed, report.held) == (1, 1)
            assert MailCredentials.objects.due().count() == 14, "nobody claims them while it is held"
            for _ in range(5):
                pass_time(MINUTE * 3)
                sweep()
        assert alerts == ["held microsoft/ client"]
        assert statuses() == {Status.CONNECTED}
        assert not CredentialEvent.objects.exclude(kind=EventKind.REFRESH_FAILED).exists()
        assert len(provider.token_calls("refresh_token")) <= 6, "one, and one for each pause"

    def test_recovers_by_itself(self, tenants, provider, alerts):
        tenants(a=5)
        with provider.fault(BAD_SECRET):
            sweep()
        pass_time(MINUTE * 3)
        sweep()
        assert alerts == ["held microsoft/ client", "released microsoft/ client"]
        pass_time(MINUTE * 3)
        sweep()
        assert all(row.refresh_failures == 0 for row in MailCredentials.objects.all())

    def test_holds_no_other_provider(self, tenants, provider, connect):
        connect("google", seconds_left=-10)
        tenants(a=3)
        with provider.fault(BAD_SECRET, personality="microsoft"):
            assert sweep().refreshed == 1

    def test_a_call_that_is_held_is_no_failure_and_costs_no_event(self, tenants, provider):
        first, second = tenants(a=2)
        with provider.fault(BAD_SECRET), pytest.raises(ProviderUnavailable, match="7000215"):
            first.get_access_token()
        provider.clear_calls()
        with pytest.raises(ProviderUnavailable) as raised:
            second.get_access_token()
        assert 0 < raised.value.retry_after <= 120
        assert raised.value.reason == "AADSTS7000215"
        row = MailCredentials.objects.get(pk=second.pk)
        assert (row.refresh_failures, row.lease_owner, row.generation) == (0, "", second.generation)
        assert not row.events.exists()
        assert not provider.token_calls("refresh_token")

    def test_a_held_caller_costs_no_write(self, tenants, provider, django_assert_num_queries):
        first, second = tenants(a=2)
        with provider.fault(BAD_SECRET), pytest.raises(ProviderUnavailable):
            first.get_access_token()
        with pytest.raises(ProviderUnavailable):
            second.get_access_token()
        with django_assert_num_queries(2), pytest.raises(ProviderUnavailable):
            second.get_access_token()  # the row, and what is known of lanes

    def test_a_person_need_not_wait_for_the_pause(self, tenants, provider, alerts):
        first, second = tenants(a=2)
        with provider.fault(BAD_SECRET), pytest.raises(ProviderUnavailable):
            first.get_access_token()
        assert second.refresh_now()
        assert alerts[-1] == "released microsoft/ client"

    def test_a_token_that_still_lives_is_given_out_all_the_same(self, connect, tenants, provider):
        (dead,) = tenants(a=1)
        alive = connect(seconds_left=100, tenant="a")
        with provider.fault(BAD_SECRET), pytest.raises(ProviderUnavailable):
            dead.get_access_token()
        assert alive.get_access_token()

    def test_one_call_alone_tries_when_the_pause_is_over(self, tenants, provider):
        rows = tenants(a=10)
        with provider.fault(BAD_SECRET):
            sweep()
            ProviderHealth.objects.update(held_until="2000-01-01T00:00:00Z")
            MailCredentials.objects.filter(pk__in=[row.pk for row in rows]).make_due()
            provider.clear_calls()
            report = sweep()
        assert (report.failed, report.held) == (1, 1)
        assert len(provider.token_calls("refresh_token")) == 1

    def test_the_pause_grows_up_to_its_cap(self, tenants, provider):
        tenants(a=2)
        pauses = []
        with provider.fault(BAD_SECRET):
            for _ in range(7):
                make_due()
                sweep()
                health = ProviderHealth.objects.get()
                hold = next(iter(ProviderHealth.objects.holds()))
                pauses.append(round(hold.seconds, -1))
                ProviderHealth.objects.update(held_until=health.held_since)
        assert pauses == [60, 120, 240, 480, 900, 900, 900]

    def test_a_trial_whose_process_dies_leaves_it_to_the_next_one(self, tenants, provider, monkeypatch):
        tenants(a=2)
        with provider.fault(BAD_SECRET):
            sweep()
        ProviderHealth.objects.update(held_until="2000-01-01T00:00:00Z")
        assert ProviderHealth.objects.all().take_trial(ProviderHealth.objects.get().pk)
        assert not ProviderHealth.objects.all().take_trial(ProviderHealth.objects.get().pk)
        pass_time(MINUTE * 2)
        make_due()
        assert sweep().refreshed == 2


class TestAnyOtherFaultOfConfiguration:
    @pytest.mark.parametrize(
        "fault", [NO_SUCH_APP, Fault.oauth_error("invalid_request"), Fault.redirect("https://elsewhere.example/")]
    )
    def test_holds_its_own_mailbox_only(self, tenants, provider, alerts, fault):
        (bad,) = tenants(a=1)
        tenants(b=3)
        with provider.fault(fault, email=bad.email):
            report = sweep()
        assert (report.failed, report.refreshed) == (1, 3)
        assert alerts == []

    def test_of_several_mailboxes_of_one_tenant_holds_that_tenant(self, tenants, provider, alerts):
        bad, good = tenants(a=6), tenants(b=6)
        for row in bad:
            provider.fail_next(100, NO_SUCH_APP, email=row.email)
        sweep()
        assert alerts == ["held microsoft/a configuration"]
        assert held() == {("microsoft", "a", "configuration")}
        assert all(MailCredentials.objects.get(pk=row.pk).refresh_failures == 0 for row in good)
        assert (
            len({call.email for call in provider.token_calls("refresh_token")} & {row.email for row in bad}) == 3
        )

    def test_of_several_mailboxes_of_several_tenants_holds_the_app(self, tenants, provider, alerts):
        tenants(a=1, b=1, c=1, d=5)
        with provider.fault(NO_SUCH_APP):
            report = sweep()
        assert (report.failed, report.held) == (3, 1)
        assert alerts == ["held microsoft/ configuration"]

    def test_of_several_mailboxes_holds_the_app_where_there_is_one_tenant_only(self, tenants, provider, alerts):
        tenants(a=5)
        with provider.fault(NO_SUCH_APP):
            sweep()
        assert alerts == ["held microsoft/ configuration"]

    def test_of_mailboxes_of_nobodys_organisation_holds_the_app(self, tenants, provider, alerts, connect):
        connect("google", seconds_left=3000, tenant="workspace.example")
        tenants("google", **{"": 4})
        with provider.fault(Fault.oauth_error("org_internal")):
            sweep()
        assert alerts == ["held google/ configuration"]

    def test_with_a_success_between_holds_nobody(self, tenants, provider, alerts):
        rows = tenants(a=4, b=4)
        for row in (rows[0], rows[4], rows[1], rows[5]):
            with provider.fault(NO_SUCH_APP), pytest.raises(ProviderUnavailable):
                row.get_access_token()
            assert rows[3].refresh_now()
            assert rows[7].refresh_now()
        assert alerts == []

    def test_that_lies_further_apart_than_the_window_holds_nobody(self, tenants, provider, alerts):
        with provider.fault(NO_SUCH_APP):
            for row in tenants(a=2, b=2):
                with pytest.raises(ProviderUnavailable):
                    row.get_access_token()
                pass_time(MINUTE * 11)
        assert alerts == []

    def test_the_tenants_lane_recovers_by_itself(self, tenants, provider, alerts):
        tenants(a=4, b=1)
        with provider.fault(NO_SUCH_APP, personality="microsoft"):
            for row in MailCredentials.objects.filter(tenant="a")[:3]:
                with pytest.raises(ProviderUnavailable):
                    row.get_access_token()
        assert held() == {("microsoft", "a", "configuration")}
        ProviderHealth.objects.update(held_until="2000-01-01T00:00:00Z")
        make_due()
        sweep()
        assert alerts[-1] == "released microsoft/a configuration"


class TestAProviderThatIsAway:
    def test_is_left_alone_after_a_few_mailboxes(self, tenants, provider, alerts):
        tenants(a=8, b=8)
        provider.clear_calls()
        with provider.fault(Fault.html(503)):
            sweep()
        assert alerts == ["held microsoft/ outage"]
        assert len(provider.token_calls("refresh_token")) == 3
        pass_time(MINUTE * 3)
        make_due()
        sweep()
        assert alerts[-1] == "released microsoft/ outage"
        assert statuses() == {Status.CONNECTED}

    def test_makes_no_difference_to_a_refused_grant(self, tenants, provider):
        first, *_ = tenants(a=4)
        with provider.fault(Fault.close()):
            sweep()
        provider.revoke(first.email)
        pass_time(MINUTE * 3)
        for _ in range(3):
            make_due()
            sweep()
        assert MailCredentials.objects.get(pk=first.pk).status == Status.NEEDS_REAUTH


class TestAPauseThatIsAskedFor:
    """429 and Retry-After hold that provider's lane, and no other's."""

    @pytest.mark.parametrize("fault", [Fault.rate_limited("120"), Fault.rate_limited("120", status=503)])
    def test_is_kept_by_all_of_that_provider(self, tenants, provider, connect, fault):
        google = connect("google", seconds_left=-10)
        tenants(a=5)
        provider.clear_calls()
        with provider.fault(fault, personality="microsoft"):
            report = sweep()
        assert (report.refreshed, report.failed, report.held) == (1, 1, 1)
        (hold,) = ProviderHealth.objects.holds()
        assert 110 < hold.seconds <= 120
        assert google.get_access_token()

    @pytest.mark.parametrize(("asked", "seconds"), [("3", 60), ("315360000", 900), ("soon", 60), (None, 60)])
    def test_is_bounded_for_all(self, tenants, provider, asked, seconds):
        tenants(a=1)
        with provider.fault(Fault.rate_limited(asked)):
            sweep()
        (hold,) = ProviderHealth.objects.holds()
        assert seconds - 10 < hold.seconds <= seconds

    def test_is_kept_even_where_a_person_asks(self, tenants, provider):
        first, second = tenants(a=2)
        with provider.fault(Fault.rate_limited("120")), pytest.raises(ProviderUnavailable):
            first.get_access_token()
        provider.clear_calls()
        with pytest.raises(ProviderUnavailable, match="http_429"):
            second.refresh_now()
        assert not provider.token_calls("refresh_token")


class TestWhatIsKept:
    def test_holds_of_an_alias_that_is_gone_hurt_nobody(self, tenants):
        ProviderHealth.objects.all().hold("gone", "", Trouble.CLIENT, reason="x", seconds=900)
        tenants(a=1)
        assert sweep().refreshed == 1

    def test_faults_are_pruned(self, tenants, provider):
        from mail_oauth.upkeep.prune import prune_events

        tenants(a=3)
        with provider.fault(NO_SUCH_APP):
            sweep()
        assert ProviderFault.objects.count() == 3
        prune_events()
        assert ProviderFault.objects.count() == 3, "they may still count"
        pass_time(MINUTE * 30)
        prune_events()
        assert not ProviderFault.objects.exists()
