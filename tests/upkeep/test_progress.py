"""Who waits for a long command sees how far it is, and a log is not flooded with it."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable

import pytest
from django.core.management.base import OutputWrapper
from django.core.management.color import color_style
from django.db import connection

from mail_oauth.management import progress
from mail_oauth.management.progress import Progress, about_how_many
from mail_oauth.models import MailCredentials


class Stream(io.StringIO):
    is_terminal = True

    def isatty(self) -> bool:
        return self.is_terminal


@pytest.fixture
def stream() -> Stream:
    return Stream()


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    """Each look at the clock is a second later than the one before."""
    seconds = itertools.count()
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(seconds)))


@pytest.fixture
def wide(monkeypatch) -> Callable[[int], None]:
    """Makes the terminal so many columns wide."""
    return lambda columns: monkeypatch.setenv("COLUMNS", str(columns))


def shown(stream: Stream, done: list[int], total: int = 1000, **options: int) -> list[str]:
    """What stands on the stream after each number, and at the end."""
    wrapper = OutputWrapper(stream)
    wrapper.style_func = color_style(force_color=True).ERROR
    with Progress(wrapper, total, "rows", **options) as bar:
        for number in done:
            bar(number)
    return [text.strip() for text in stream.getvalue().replace("\r", "\n").split("\n") if text.strip()]


class TestOnATerminal:
    def test_share_rate_and_time_left_are_shown(self, stream, wide):
        wide(200)
        first, second, last = shown(stream, [250, 500])
        assert first == "[##########..............................] 250 of 1,000 rows, 25%, 125/s, 6 s left"
        assert second.startswith("[####################....................] 500 of 1,000 rows, 50%")
        assert last.startswith(second[:60])

    def test_the_end_is_full_and_leaves_its_line(self, stream, wide):
        wide(200)
        assert shown(stream, [1000])[-1].startswith(f"[{'#' * 40}] 1,000 of 1,000 rows, 100%")
        assert stream.getvalue().endswith("\n")
        assert "left" not in stream.getvalue()

    @pytest.mark.parametrize("columns", [20, 50, 60, 80, 120, 300])
    def test_a_line_is_never_wider_than_the_terminal(self, stream, wide, columns):
        wide(columns)
        shown(stream, [1, 500_000, 1_000_000], total=1_000_000)
        lines = stream.getvalue().replace("\n", "").split("\r")[1:]
        assert {len(line) for line in lines} == {columns - 1}, "and wipes out the one before"

    def test_more_than_was_believed_is_no_more_than_all(self, stream, wide):
        wide(200)
        assert "1,500 of 1,500 rows, 100%" in shown(stream, [1500])[-1]

    def test_it_is_no_error(self, stream, wide):
        wide(200)
        shown(stream, [1])
        assert "\x1b[" not in stream.getvalue()

    def test_a_failure_leaves_the_line_too(self, stream, wide):
        wide(200)

        def interrupted() -> None:
            with Progress(OutputWrapper(stream), 10, "rows") as bar:
                bar(5)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert stream.getvalue().endswith("\n")

    def test_nothing_is_shown_of_nothing(self, stream):
        assert shown(stream, []) == []
        assert shown(stream, [0], total=0)[0].startswith("[")

    def test_it_is_not_drawn_at_each_call(self, stream, wide, monkeypatch):
        wide(200)
        monkeypatch.setattr(progress, "BAR_SECONDS", 10.0)
        assert len(shown(stream, list(range(1, 31)))) < 6


class TestElsewhere:
    @pytest.fixture
    def stream(self, stream) -> Stream:
        stream.is_terminal = False
        return stream

    def test_plain_lines_come_now_and_then(self, stream):
        lines = shown(stream, list(range(10, 310, 10)))
        assert lines[0] == "100 of 1,000 rows, 10%, 10/s, 90 s left"
        assert len(lines) == 3

    def test_a_short_run_says_nothing(self, stream):
        assert shown(stream, [500, 1000]) == []


def test_nobody_who_wants_silence_is_told(stream):
    assert shown(stream, [1, 500, 1000], verbosity=0) == []


@pytest.mark.parametrize(
    ("done", "words"),
    [(999_000, "0 s left"), (10_000, "99 s left"), (2_000, "8 min left"), (100, "2.8 h left")],
)
def test_long_times_are_in_long_units(stream, done, words):
    bar = Progress(OutputWrapper(stream), 1_000_000, "rows")
    bar.done = done
    assert words in bar.words(1.0)


@pytest.mark.django_db
class TestHowManyThereAre:
    def test_is_counted_where_they_are_few(self, connect):
        [connect() for _ in range(3)]
        assert about_how_many(MailCredentials.objects.all()) == 3

    def test_is_believed_where_postgresql_believes_in_many(self, connect, monkeypatch, django_assert_num_queries):
        if connection.vendor != "postgresql":
            pytest.skip("only PostgreSQL is asked: python -m tests.services postgres -- pytest tests/upkeep")
        connect()
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE mail_oauth_mailcredentials")
        monkeypatch.setattr(progress, "COUNTED", 0)
        with django_assert_num_queries(1):
            assert about_how_many(MailCredentials.objects.all()) == 1
