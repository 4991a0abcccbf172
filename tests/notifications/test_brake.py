"""While too many grants are refused at once, or calls are held, no user is mailed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import Episode, MailCredentials, ProviderHealth
from mail_oauth.notices.run import send_notices
from mail_oauth.refresh.classification import Trouble
from tests.lanes.conftest import tenants
from tests.losses.passing import pass_time, sweep
from tests.notifications.conftest import AFTER, REFUSED

__all__ = ["tenants"]

pytestmark = pytest.mark.django_db
HOUR = timedelta(minutes=76)
"""For which the brake holds, and a little longer."""


@pytest.fixture(autouse=True)
def small_brake(notify, owner):
    notify(BRAKE_COUNT=4, NOTIFY_AFTER=600)


def test_whoever_the_brake_takes_back_is_not_mailed(tenants, provider, later, mailoutbox):
    tenants(a=8)
    with provider.fault(REFUSED):
        sweep()
    assert not Episode.objects.exists()
    later()
    assert mailoutbox == []


def test_who_is_refused_again_after_it_is_mailed_once(tenants, provider, later, mailoutbox):
    tenants(a=8)
    with provider.fault(REFUSED):
        sweep()
        later(HOUR)
        sweep()
    assert MailCredentials.objects.filter(status=Status.NEEDS_REAUTH).count() == 8
    later()
    later()
    [mail] = mailoutbox
    assert mail.subject.startswith("8 of your mailboxes")


def test_it_holds_back_what_was_refused_before_it(connect, owner, fall, provider, later, mailoutbox):
    row = connect(owner=owner, tenant="a")
    fall(row)
    ProviderHealth.objects.hold("microsoft", "a", Trouble.REAUTH, reason="AADSTS70000", seconds=3600)
    assert later().put_off == 1
    assert mailoutbox == []
    later(HOUR)
    assert len(mailoutbox) == 1


@pytest.mark.parametrize("trouble", [Trouble.CLIENT, Trouble.OUTAGE, Trouble.THROTTLE, Trouble.CONFIGURATION])
def test_so_does_a_held_lane_until_it_is_free(connect, owner, fall, later, mailoutbox, trouble):
    row = connect(owner=owner)
    fall(row)
    ProviderHealth.objects.hold("microsoft", "", trouble, reason="", seconds=30)
    assert later().put_off == 1, "also when it is time for a trial: nobody knows its outcome yet"
    ProviderHealth.objects.update(held=False, held_until=None)
    assert later().mailed == 1


def test_the_lane_of_another_organisation_holds_nobody(connect, owner, fall, later, mailoutbox):
    fall(connect(owner=owner, tenant="a"))
    ProviderHealth.objects.hold("microsoft", "b", Trouble.REAUTH, reason="", seconds=3600)
    ProviderHealth.objects.hold("google", "", Trouble.CLIENT, reason="", seconds=3600)
    later()
    assert len(mailoutbox) == 1


class TestWhoWasMailedBeforeTheBrake:
    """With a `NOTIFY_AFTER` too short, which a check complains of."""

    @pytest.fixture(params=[True, False], ids=["told of recovery", "not told of it"])
    def recovery(self, request):
        return request.param

    @pytest.fixture
    def taken_back(self, notify, tenants, provider, later, mailoutbox, recovery):
        notify(BRAKE_COUNT=4, NOTIFY_AFTER=0, NOTIFY_RECOVERY=recovery)
        first, *_ = tenants(a=8)
        provider.fail_next(1, REFUSED, email=first.email)
        MailCredentials.objects.exclude(pk=first.pk).update(refresh_at=first.connected_at + HOUR)
        sweep()
        send_notices()
        assert len(mailoutbox) == 1
        MailCredentials.objects.exclude(pk=first.pk).update(refresh_at=first.connected_at)
        with provider.fault(REFUSED):
            sweep()
        assert MailCredentials.objects.get(pk=first.pk).status == Status.CONNECTED
        return first

    def test_is_not_told_that_all_is_well_before_it_is_known(self, taken_back, mailoutbox):
        send_notices()
        assert len(mailoutbox) == 1

    def test_is_mailed_no_second_time_when_it_is_refused_again(self, taken_back, provider, mailoutbox):
        with provider.fault(REFUSED):
            pass_time(HOUR)
            sweep()
        send_notices()
        assert [taken_back.email in mail.body for mail in mailoutbox] == [True, False]

    def test_is_told_when_it_works_after_all(self, taken_back, provider, mailoutbox, recovery):
        pass_time(HOUR)
        sweep()
        send_notices()
        again = [mail.subject for mail in mailoutbox[1:]]
        assert again == ([f"{taken_back.email} works again"] if recovery else [])
        assert not Episode.objects.exists()


def test_time_that_passes_is_longer_than_what_is_waited_for():
    assert timedelta(seconds=600) < AFTER
