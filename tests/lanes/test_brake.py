"""Many grants that are refused at once are hardly their users' doing: nobody is told until that is sure."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mail_oauth.exceptions import ProviderUnavailable
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import MailCredentials, ProviderHealth
from mail_oauth.testing.faults import Fault
from mail_oauth.upkeep.reconcile import reconcile_cache
from tests.losses.passing import pass_time, sweep

pytestmark = pytest.mark.django_db

REFUSED = Fault.oauth_error("invalid_grant", aadsts=70000)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def small_brake(provider, settings):
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "BRAKE_COUNT": 4}


def statuses(tenant: str) -> list[str]:
    return list(MailCredentials.objects.filter(tenant=tenant).values_list("status", flat=True))


def tokens() -> dict[object, object]:
    return dict(MailCredentials.objects.values_list("pk", "refresh_token"))


def test_one_tenants_brake_holds_no_other_tenant(tenants, provider, alerts):
    tenants(a=8)
    (other,) = tenants(b=1)
    before = tokens()
    with provider.fault(REFUSED):
        sweep()
    assert alerts == ["held microsoft/a reauth"]
    assert set(statuses("a")) == {Status.CONNECTED}, "also those that were told before it showed"
    assert statuses("b") == [Status.NEEDS_REAUTH], "who is one of its own is told at once"
    assert tokens() == before
    assert MailCredentials.objects.get(pk=other.pk).status_reason == "AADSTS70000"


def test_what_users_were_told_is_taken_back_once(tenants, provider, told):
    tenants(a=8)
    with provider.fault(REFUSED):
        sweep()
    assert told == [Status.NEEDS_REAUTH] * 3 + [Status.CONNECTED] * 3
    first = MailCredentials.objects.filter(events__kind=EventKind.REINSTATED).first()
    assert [event.kind for event in first.events.order_by("pk")] == [EventKind.NEEDS_REAUTH, EventKind.REINSTATED]


def test_callers_are_told_to_wait(tenants, provider):
    rows = tenants(a=8)
    with provider.fault(REFUSED):
        sweep()
    with pytest.raises(ProviderUnavailable, match="70000_held"):
        rows[7].get_access_token()


def test_a_bad_hour_leaves_no_trace(tenants, provider):
    tenants(a=8)
    with provider.fault(REFUSED):
        sweep()
    pass_time(HOUR + timedelta(minutes=16))
    sweep()
    rows = MailCredentials.objects.all()
    assert {(row.status, row.refresh_failures, row.last_refresh_error) for row in rows} == {
        (Status.CONNECTED, 0, "")
    }


def test_who_is_refused_again_after_it_is_told(tenants, provider, alerts):
    tenants(a=8)
    with provider.fault(REFUSED):
        sweep()
        pass_time(HOUR + timedelta(minutes=16))
        provider.clear_calls()
        sweep()
    assert set(statuses("a")) == {Status.NEEDS_REAUTH}
    assert set(MailCredentials.objects.values_list("status_reason", flat=True)) == {"AADSTS70000"}
    assert len(provider.token_calls("refresh_token")) == 8
    assert alerts.count("held microsoft/a reauth") == 1


def test_many_tenants_pull_the_apps_brake(tenants, provider, alerts):
    tenants(**{f"t{number}": 1 for number in range(8)})
    with provider.fault(REFUSED):
        sweep()
    assert alerts == ["held microsoft/ reauth"]
    assert set(MailCredentials.objects.values_list("status", flat=True)) == {Status.CONNECTED}


def test_a_few_among_many_that_work_are_told_at_once(tenants, provider, alerts):
    rows = tenants(a=12)
    for row in rows[5:]:
        assert row.get_access_token()
    for row in rows[:5]:
        provider.fail_next(1, REFUSED, email=row.email)
    sweep()
    assert alerts == []
    assert statuses("a").count(Status.NEEDS_REAUTH) == 5


def test_it_stops_no_calls(tenants, provider):
    tenants(a=6)
    with provider.fault(REFUSED):
        sweep()
    (late,) = tenants(a=1)
    assert late.get_access_token()


def test_it_is_lifted_when_its_time_is_over(tenants, provider, alerts):
    tenants(a=6)
    with provider.fault(REFUSED):
        sweep()
    reconcile_cache()
    assert ProviderHealth.objects.get().held
    pass_time(HOUR + timedelta(minutes=16))
    reconcile_cache()
    assert alerts == ["held microsoft/a reauth", "released microsoft/a reauth"]
