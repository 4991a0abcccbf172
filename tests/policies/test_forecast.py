"""A forecast says how many refreshes the next hours bring, from one query."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.refresh.policy import mean_period
from mail_oauth.upkeep.forecast import Due, Forecast, Peak, ProviderForecast, forecast, project

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)


def due(minute: int, number: int, *, warm: int | None = None, lifetime: float = 3600) -> Due:
    return Due(
        provider="x", minute=minute, number=number, warm=number if warm is None else warm, lifetime=lifetime
    )


def brings(numbers: tuple[int, ...]) -> dict[int, int]:
    """The minutes that bring anything."""
    return {minute: number for minute, number in enumerate(numbers) if number}


class TestTheProjection:
    @pytest.mark.parametrize(
        ("groups", "minutes", "numbers"),
        [
            ([], 60, {}),
            ([due(10, 5)], 60, {10: 5}),
            ([due(10, 400)], 120, {10: 400, 64: 300, 65: 100, 118: 200, 119: 200}),  # a period of 54.25 minutes
            ([due(10, 400, warm=0)], 120, {10: 400}),  # idle: they do not return
            ([due(10, 400, warm=40)], 120, {10: 400, 64: 30, 65: 10, 118: 20, 119: 20}),
            ([due(0, 8), due(0, 2, warm=0), due(59, 1)], 60, {0: 10, 54: 6, 55: 2, 59: 1}),
            ([due(-50, 400)], 60, {0: 400, 4: 300, 5: 100, 58: 200, 59: 200}),  # overdue: back at its own moments
            ([due(-60, 400)], 60, {0: 400, 48: 200, 49: 200}),
            ([due(0, 1, lifetime=20)], 3, {0: 1, 1: 1, 2: 1}),  # once in each minute, as beat comes
        ],
    )
    def test_counts_what_is_due_and_what_returns(self, groups, minutes, numbers):
        assert mean_period(3600) == 54.25 * 60
        found = project(groups, minutes)
        assert len(found) == minutes
        assert brings(found) == numbers

    def test_of_an_even_load_is_even(self):
        found = project([due(minute, 100) for minute in range(54)] + [due(54, 25)], 360)
        assert all(80 <= number <= 120 for number in (*found[:54], *found[56:]))
        assert sum(found) == pytest.approx(360 * 100, rel=0.01)


class TestTheValues:
    MADE = Forecast(
        begins_at=NOW,
        overdue=1,
        providers=(
            ProviderForecast(provider="google", per_minute=(1, 5, 0)),
            ProviderForecast(provider="microsoft", per_minute=(2, 55, 60)),
        ),
    )

    def test_add_up(self):
        assert self.MADE.per_minute == (3, 60, 60)
        assert self.MADE.peak == Peak(at=NOW + MINUTE, number=60)
        assert self.MADE.peak.per_second == 1

    def test_may_be_none(self):
        nothing = Forecast(begins_at=NOW, overdue=0, providers=())
        assert (nothing.per_minute, nothing.peak) == ((), None)


@pytest.mark.django_db
class TestTheQuery:
    def test_counts_by_provider_and_minute_at_once(self, site, connect, django_assert_num_queries):
        site("always")
        now = timezone.now()
        begin = now.replace(second=0, microsecond=0)
        for alias, after in (
            ("microsoft", 5),
            ("microsoft", 5.9),
            ("google", 7),
            ("google", 119),
            ("google", 120),
        ):
            connect(alias, refresh_at=begin + after * MINUTE)
        with django_assert_num_queries(1):
            found = forecast(hours=2)
        google, microsoft = found.providers
        assert (google.provider, microsoft.provider) == ("google", "microsoft")
        assert (brings(google.per_minute)[7], brings(microsoft.per_minute)[5]) == (1, 2)
        assert brings(google.per_minute)[119] == 1
        assert sum(microsoft.per_minute) == 2 + 2 + 2, "and returns twice"
        assert (found.begins_at - begin) in {timedelta(0), MINUTE}

    def test_knows_tokens_by_their_lifetimes(self, site, connect):
        site("always")
        for hours in (1, 2):
            connect(refresh_at=timezone.now(), token_expiry=timezone.now() + hours * HOUR)
        minutes = brings(forecast(hours=2).per_minute)
        assert max(minutes) == pytest.approx(90 - 5, abs=2)

    def test_puts_what_is_overdue_into_the_first_minute(self, site, connect):
        site("always")
        for hours in (0.5, 1, 30):
            connect(refresh_at=timezone.now() - hours * HOUR)
        connect(refresh_at=timezone.now() + 20 * MINUTE)
        found = forecast()
        assert found.overdue == found.per_minute[0] == 3

    @pytest.mark.parametrize("setting", ["on_demand", "recently_used"])
    def test_lets_idle_mailboxes_return_no_more(self, site, connect, setting):
        site(setting)
        long_ago = {"connected_at": timezone.now() - 400 * DAY, "refresh_at": timezone.now() + HOUR}
        connect(**long_ago)
        connect(**long_ago, refresh_policy="always")
        assert sum(forecast(hours=2.5).per_minute) == 1 + 2

    def test_leaves_out_what_is_not_refreshed(self, site, connect):
        site("always")
        connect(refresh_at=None)
        connect(status=Status.DISCONNECTED)
        connect(status=Status.NEEDS_REAUTH)
        connect(use_oauth=False)
        assert forecast().providers == ()
        connect(status=Status.NEEDS_ADMIN)
        assert sum(forecast().per_minute) == 1, "tried again, and nobody knows with what success"

    def test_takes_mailboxes_without_a_token(self, site, connect):
        site("always")
        connect(refresh_at=timezone.now(), token_expiry=None, token_issued_at=None)
        assert forecast().per_minute[0] + forecast().per_minute[1] >= 1

    def test_reads_an_index_on_postgresql(self, site, user):
        if connection.vendor != "postgresql":
            pytest.skip("reads PostgreSQL's plans: python -m tests.services postgres -- pytest tests/policies")
        far = timezone.now() + 20 * DAY
        rows = (
            MailCredentials(user=user, provider="microsoft", email=f"{n}@example.com", refresh_at=far - n * MINUTE)
            for n in range(20_000)
        )
        MailCredentials.objects.bulk_create(rows, batch_size=2000)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
            with CaptureQueriesContext(connection) as queries:
                forecast()
            cursor.execute(f"EXPLAIN {queries.captured_queries[0]['sql']}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
        assert "Seq Scan" not in plan


@pytest.mark.django_db
class TestTheCommand:
    def run(self, *told: str) -> str:
        out = io.StringIO()
        call_command("mail_oauth", "forecast", *told, stdout=out)
        return out.getvalue()

    @pytest.fixture
    def mailboxes(self, site, connect):
        site("always")
        for minutes in (3, 3, 3, 20, -10):
            connect(refresh_at=timezone.now() + minutes * MINUTE)

    def test_shows_quarters_of_an_hour_with_bars_and_the_peak(self, mailboxes):
        head, first, second, third, fourth, *words = self.run("--hours", "1").splitlines()
        assert head.split() == ["from", "(UTC)", "refreshes", "most", "in", "a", "minute"]
        assert first.split()[2:] == ["4", "3", "#" * 40]
        assert second.split()[2:] == ["1", "1", "#" * 10]
        assert (third.split()[2], fourth.split()[2]) == ("1", "3"), "they return after some 54 minutes"
        assert words[0].startswith("The peak is 3 in the minute from ")
        assert words[0].endswith(": 0.1 refreshes a second.")
        assert words[1] == "BATCH_TASKS x REFRESH_THREADS, 32 at once, keep up if one takes 640 s at the most."
        assert words[2] == "1 are overdue, and stand in the first minute."

    def test_is_json_for_programs(self, mailboxes):
        data = json.loads(self.run("--hours", "1", "--json"))
        assert data["overdue"] == 1
        assert data["peak"]["number"] == 3
        assert len(data["per_minute"]["microsoft"]) == 60

    def test_says_so_where_nothing_falls_due(self, site):
        assert self.run() == "Nothing falls due.\n"
        assert json.loads(self.run("--json"))["peak"] is None

    @pytest.mark.parametrize("hours", ["0", "-1", "49", "soon", "nan"])
    def test_looks_no_further_than_two_days(self, hours):
        with pytest.raises(CommandError):
            self.run("--hours", hours)
