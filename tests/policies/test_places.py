"""A million mailboxes that were connected in one minute are not refreshed in one: each has its place, and keeps it."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mail_oauth.refresh.policy import jitter, margin, mean_period, next_refresh, place_of_row

NOW = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)
places = st.floats(0, 1, exclude_max=True)
lifetimes = st.integers(10, 24 * 3600)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2050, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def after(
    lifetime: float, place: float, *, issued: datetime = NOW, before: float | None = None, late: float = 0
) -> float:
    """After how many seconds a token of this lifetime is replaced."""
    due = next_refresh(issued, issued + timedelta(seconds=lifetime), place=place, before=before, late=late)
    return (due - issued).total_seconds()


def uuids(number: int) -> list[UUID]:
    rng = random.Random(2030)
    return [UUID(int=rng.getrandbits(128)) for _ in range(number)]


class TestAPlace:
    @given(st.uuids())
    def test_is_within_the_circle_and_stays(self, pk):
        assert 0 <= place_of_row(pk) < 1
        assert place_of_row(pk) == place_of_row(UUID(str(pk)))

    def test_is_the_same_on_every_host_and_in_every_release(self):
        assert place_of_row(UUID(int=0)) == pytest.approx(0.3215430, abs=1e-7)
        assert place_of_row(UUID("6f1e0f8a-5b3c-4c39-9d0e-2a7c1d4b8e90")) == pytest.approx(5.4e-05, abs=1e-7)

    @pytest.mark.parametrize(
        "make", [lambda n: UUID(int=n), lambda n: UUID(int=n << 64), lambda n: UUID(int=n << 100)]
    )
    def test_is_even_for_uuids_that_are_counted_up(self, make):
        tenths = Counter(int(place_of_row(make(number)) * 10) for number in range(10_000))
        assert set(tenths) == set(range(10))
        assert all(850 < number < 1150 for number in tenths.values())


class TestWhenATokenIsReplaced:
    @given(lifetimes, places, moments, st.none() | st.integers(10, 86400), st.floats(0, 1e9))
    def test_is_never_at_once_and_never_later_than_its_margin(self, lifetime, place, issued, before, late):
        assert (
            jitter(lifetime) / 2 - 1e-5
            <= after(lifetime, place, issued=issued, before=before, late=late)
            <= lifetime - margin(lifetime)
        )

    @given(places, moments, st.sampled_from([90, 120, 600, 3600, 7200, 86400]))
    def test_is_at_a_moment_that_its_mailbox_keeps_for_ever(self, place, issued, lifetime):
        first = issued + timedelta(seconds=after(lifetime, place, issued=issued))
        lives = []
        for late in (0.01, 1, 0.5, 0.01):  # whoever comes a little late, comes in time again
            lives.append(after(lifetime, place, issued=first + timedelta(seconds=late), before=lifetime) + late)
            first += timedelta(seconds=lives[-1])
        assert lives == pytest.approx([lives[0]] * 4, abs=1e-3)
        earliest = lifetime - margin(lifetime) - jitter(lifetime)
        assert earliest - 1e-3 <= lives[0] <= earliest + jitter(lifetime) / 2 + 1e-3

    @given(places, st.floats(0.01, 3000))
    def test_is_that_moment_also_for_who_comes_very_late_or_asks_at_any_time(self, place, late):
        first = NOW + timedelta(seconds=after(3600, place))
        period = after(3600, place, issued=first + timedelta(seconds=0.01), before=3600) + 0.01
        again = after(3600, place, issued=first + timedelta(seconds=late), before=3600) + late
        assert (
            again == pytest.approx(period, abs=1e-3)
            or again == pytest.approx(2 * period, abs=1e-3)
            or (late > period - 30)
        )

    @pytest.mark.parametrize("lifetime", [3599, 3598, 3600, 3590])
    def test_does_not_hang_on_a_second_more_or_less(self, lifetime):
        assert after(lifetime, 0.3) == pytest.approx(after(3600, 0.3), abs=1e-3)

    @given(st.integers(3600, 5400), st.integers(3600, 5400), places, moments)
    def test_is_as_late_as_can_be_where_lifetimes_are_random(self, lifetime, before, place, issued):
        assume(abs(lifetime - before) > 2)
        spare = lifetime - margin(lifetime) - after(lifetime, place, issued=issued, before=before)
        assert 30 - 1e-5 <= spare <= 60 + 1e-5

    @given(st.integers(3600, 5400), st.integers(3600, 5400), places, st.floats(0, 86400))
    def test_is_brought_forward_by_no_more_than_the_one_before_was_late(self, lifetime, before, place, late):
        assume(abs(lifetime - before) > 2)
        forward = after(lifetime, place, before=before) - after(lifetime, place, before=before, late=late)
        assert -1e-3 <= forward <= min(late, 2 / 3 * lifetime) * place + 1e-3

    @given(places, st.floats(0, 86400))
    def test_hangs_on_its_moments_alone_where_lifetimes_are_the_same(self, place, late):
        assert after(3600, place, before=3600, late=late) == after(3600, place)

    @pytest.mark.parametrize("life", [0, -1, -3600])
    def test_is_at_once_where_it_never_lived(self, life):
        assert after(life, 0.5) == 0

    @pytest.mark.parametrize("lifetime", [60, 120, 3600, 86400])
    def test_is_what_the_mean_says_on_an_average(self, lifetime):
        issued = [NOW + timedelta(seconds=after(lifetime, place_of_row(pk)) + 0.01) for pk in uuids(2000)]
        lives = [
            after(lifetime, place_of_row(pk), issued=at, before=lifetime)
            for pk, at in zip(uuids(2000), issued, strict=True)
        ]
        assert sum(lives) / len(lives) == pytest.approx(mean_period(lifetime), rel=0.005)

    def test_is_the_same_without_jitter_but_for_the_spread_within_it(self, settings):
        settings.MAIL_OAUTH = {"REFRESH_JITTER": 0}
        first = NOW + timedelta(seconds=after(3600, 0.3))
        assert after(3600, 0.3, issued=first + timedelta(seconds=0.01)) == pytest.approx(3300, abs=0.1)


def run(
    mailboxes: int, lifetime: Callable[[], float], minutes: int, *, away: range = range(0), at_most: int = 10**6
) -> list[int]:
    """The refreshes of each minute, of mailboxes that were all imported in the first.

    There are none in the minutes in which the provider is `away`, and never more than `at_most`.
    """
    chance.seed(7)
    waiting: list[tuple[datetime, float, datetime, float]] = []
    for number, pk in enumerate(uuids(mailboxes)):
        issued, place, life = NOW + timedelta(minutes=number / mailboxes), place_of_row(pk), lifetime()
        expires = issued + timedelta(seconds=life)
        waiting.append((next_refresh(issued, expires, place=place), place, expires, life))
    heapq.heapify(waiting)
    done = [0] * minutes
    for minute in range(minutes):
        begins, ends = NOW + timedelta(minutes=minute), NOW + timedelta(minutes=minute + 1)
        while minute not in away and waiting[0][0] < ends and done[minute] < at_most:
            due, place, expired, before = heapq.heappop(waiting)
            issued, life = max(due, begins), lifetime()
            expires = issued + timedelta(seconds=life)
            late = max((issued - expired).total_seconds(), 0)
            next_at = next_refresh(issued, expires, place=place, before=before, late=late)
            heapq.heappush(waiting, (next_at, place, expires, life))
            done[minute] += 1
    return done


def by(minutes: int, numbers: list[int]) -> list[int]:
    """The refreshes of so many minutes each; those of a last part are left out."""
    return [sum(part) for part in zip(*[iter(numbers)] * minutes)]  # noqa: B905


def evenness(numbers: list[int]) -> tuple[float, float]:
    """The emptiest and the fullest, beside the mean."""
    mean = sum(numbers) / len(numbers)
    return min(numbers) / mean, max(numbers) / mean


def an_hour() -> float:
    return 3600


def googles() -> float:
    return 3599 if chance.random() < 0.9 else 3598


def microsofts() -> float:
    return chance.randint(3600, 5400)


chance = random.Random(2026)


class TestTheLoad:
    """So few mailboxes are uneven by chance alone: 60 a minute to within some 40 %, 350 a minute to within 20 %."""

    @pytest.mark.parametrize(
        ("lifetime", "mailboxes", "minutes", "bound"),
        [(an_hour, 20_000, 1, 0.2), (googles, 10_000, 5, 0.12), (microsofts, 10_000, 5, 0.15)],
    )
    def test_of_mailboxes_that_were_imported_in_one_minute_is_even_from_then_on(
        self, lifetime, mailboxes, minutes, bound
    ):
        numbers = by(minutes, run(mailboxes, lifetime, 180))
        first_hour, later = numbers[: 60 // minutes], numbers[60 // minutes :]
        least, most = evenness(later)
        assert least > 1 - bound
        assert most < 1 + bound
        assert max(first_hour) < (1 + bound) * sum(later) / len(later), "nor is there a peak before"

    @pytest.mark.parametrize("headroom", [1.5, 10])
    def test_after_an_outage_of_an_hour_is_even_as_soon_as_the_workers_have_caught_up(self, headroom):
        mailboxes = 8_000
        usual = mailboxes * 60 / mean_period(3600)
        numbers = run(mailboxes, an_hour, 360, away=range(60, 120), at_most=int(headroom * usual))
        over = next(minute for minute in range(120, 360) if numbers[minute] < 1.3 * usual)
        assert over <= 120 + 60 / (headroom - 1) + 5
        least, most = evenness(by(5, numbers[over + 1 :]))
        assert least > 0.85
        assert most < 1.15

    def test_after_an_outage_of_an_hour_is_even_also_where_lifetimes_are_random(self):
        mailboxes = 20_000
        usual = mailboxes * 60 / ((mean_period(3600) + mean_period(5400)) / 2)
        numbers = run(mailboxes, microsofts, 480, away=range(120, 180), at_most=int(1.5 * usual))
        assert min(numbers[180:220]) > 1.4 * usual, "until all have tokens again"
        tens = [sum(numbers[at : at + 10]) for at in range(240, 480, 10)]
        least, most = evenness(tens)
        assert least > 0.7
        assert most < 1.3

    def test_of_short_tokens_is_even_too(self):
        least, most = evenness(run(2000, lambda: 120, 30)[5:])
        assert least > 0.8
        assert most < 1.2
