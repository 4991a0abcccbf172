"""When a grant ends is known or estimated, and somebody is told before it does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from mail_oauth import signals
from mail_oauth.conf import app_settings
from mail_oauth.managers.vocabulary import EventKind
from mail_oauth.models import MailCredentials
from mail_oauth.providers import provider_for
from mail_oauth.refresh.policy import next_refresh, warns_at
from mail_oauth.testing.faults import Fault
from mail_oauth.upkeep.reconcile import reconcile_cache
from tests.losses.passing import pass_time, sweep

DAY = timedelta(days=1)
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def warned():
    """Which mailboxes `grant_ending` named, and why."""
    told: list[tuple[str, str]] = []

    def receive(credentials, reason, **_):
        told.append((credentials.email, reason))

    signals.grant_ending.connect(receive)
    yield told
    signals.grant_ending.disconnect(receive)


def days_left(row: MailCredentials) -> float:
    row.refresh_from_db()
    return (row.refresh_token_expires_at - timezone.now()) / DAY


@pytest.mark.django_db
class TestTheEnd:
    @pytest.mark.parametrize(("alias", "days"), [("microsoft", 90), ("google", 180)])
    def test_is_estimated_from_the_last_refresh_on(self, connect, alias, days):
        row = connect(alias, seconds_left=-10)
        MailCredentials.objects.update(refresh_token_expires_at=timezone.now() + DAY, grant_end_estimated=True)
        row.refresh_now()
        assert days_left(row) == pytest.approx(days, abs=0.01)
        assert row.grant_end_estimated

    def test_is_what_the_provider_says(self, connect, provider):
        row = connect("google", seconds_left=-10)
        provider.fail_next(1, Fault.reply_with(refresh_token_expires_in=3 * 86400))
        row.refresh_now()
        assert days_left(row) == pytest.approx(3, abs=0.01)
        assert not row.grant_end_estimated
        row.refresh_now()
        assert days_left(row) == pytest.approx(3, abs=0.01), "no other token came: nothing moved its end"

    def test_is_not_guessed_where_nobody_can_tell(self, connect):
        row = connect("keycloak", seconds_left=-10)
        row.refresh_now()
        row.refresh_from_db()
        assert row.refresh_token_expires_at is None
        assert not row.grant_end_estimated

    def test_may_be_an_option(self, connect, settings):
        providers = settings.MAIL_OAUTH["PROVIDERS"]
        keycloak = {**providers["keycloak"], "GRANT_DAYS": 30}
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROVIDERS": {**providers, "keycloak": keycloak}}
        row = connect("keycloak", seconds_left=-10)
        row.refresh_now()
        assert days_left(row) == pytest.approx(30, abs=0.01)

    @pytest.mark.parametrize("days", ["30", 0, -1, True])
    def test_an_option_that_is_no_number_of_days_is_named(self, provider, settings, days):
        providers = settings.MAIL_OAUTH["PROVIDERS"]
        spoiled = {**providers["google"], "GRANT_DAYS": days}
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROVIDERS": {"google": spoiled}}
        with pytest.raises(Exception, match="GRANT_DAYS"):
            provider_for("google")

    def test_of_a_google_app_in_testing_is_a_week_after_consent_and_does_not_move(self, connect, settings):
        providers = settings.MAIL_OAUTH["PROVIDERS"]
        testing = {**providers["google"], "TESTING": True}
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROVIDERS": {**providers, "google": testing}}
        row = connect("google", seconds_left=-10, connected_at=timezone.now() - 5 * DAY)
        row.refresh_now()
        assert days_left(row) == pytest.approx(2, abs=0.01)


@pytest.mark.django_db
class TestTheWarning:
    def test_comes_once(self, connect, warned):
        ends_at = timezone.now() + 6 * DAY
        row = connect(
            connected_at=timezone.now() - 84 * DAY, refresh_token_expires_at=ends_at, grant_end_estimated=False
        )
        assert reconcile_cache().ending == 1
        assert reconcile_cache().ending == 0
        assert warned == [(row.email, "")]
        assert row.events.get().kind == EventKind.GRANT_ENDING

    def test_says_that_it_is_an_estimate(self, connect, warned):
        connect(
            connected_at=timezone.now() - 84 * DAY,
            refresh_token_expires_at=timezone.now() + 6 * DAY,
            grant_end_estimated=True,
        )
        reconcile_cache()
        assert [reason for _, reason in warned] == ["estimated"]

    def test_comes_not_for_what_ends_later_or_is_written_off(self, connect, warned):
        connect(connected_at=timezone.now() - 60 * DAY, refresh_token_expires_at=timezone.now() + 30 * DAY)
        soon = {"connected_at": timezone.now() - 84 * DAY, "refresh_token_expires_at": timezone.now() + DAY}
        connect(status="needs_reauth", **soon)
        connect(status="disconnected", **soon)
        assert reconcile_cache().ending == 0
        assert warned == []

    def test_a_dry_run_counts_only(self, connect, warned):
        connect(connected_at=timezone.now() - 84 * DAY, refresh_token_expires_at=timezone.now() + DAY)
        assert reconcile_cache(dry_run=True).ending == 1
        assert warned == []
        assert reconcile_cache().ending == 1

    def test_comes_again_for_the_next_end(self, connect, warned):
        row = connect(connected_at=timezone.now() - 84 * DAY, refresh_token_expires_at=timezone.now() + DAY)
        reconcile_cache()
        row.refresh_now()
        row.refresh_from_db()
        assert row.grant_warned_at is None
        MailCredentials.objects.update(refresh_token_expires_at=timezone.now() + DAY)
        reconcile_cache()
        assert len(warned) == 2


@pytest.mark.django_db
def test_a_mailbox_that_nobody_uses_lives_on(connect):
    """Its token is replaced all the same, and with it the end of its grant."""
    row = connect(seconds_left=-10)
    for _ in range(4):
        pass_time(40 * DAY)
        sweep()
        assert days_left(row) == pytest.approx(90, abs=0.1)


@pytest.mark.parametrize("place", [0.0, 0.5, 0.999])
def test_a_grant_that_ends_before_its_token_is_renewed_in_time(place):
    expiry, soon, later, past = NOW + DAY, NOW + timedelta(hours=6), NOW + 30 * DAY, NOW - DAY
    token = {"place": place, "before": 1.0}
    assert next_refresh(NOW, expiry, place=place, grant_ends_at=soon) < soon
    assert next_refresh(NOW, expiry, **token, grant_ends_at=soon) < soon
    assert next_refresh(NOW, expiry, **token, grant_ends_at=later) > NOW + timedelta(hours=23)
    assert next_refresh(NOW, expiry, **token, grant_ends_at=past) > NOW + timedelta(hours=23)


@pytest.mark.parametrize(("life", "ahead"), [(90, 7), (7, 7 / 3), (21, 7)])
def test_a_warning_is_never_most_of_a_grants_life_ahead(life, ahead):
    assert app_settings().grant_warning_days == 7
    assert (NOW + life * DAY) - warns_at(NOW, NOW + life * DAY) == pytest.approx(
        ahead * DAY, abs=timedelta(seconds=1)
    )
