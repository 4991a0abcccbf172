"""A chart shows every number that is not zero, and stays within its frame."""

from __future__ import annotations

import itertools

import pytest

from mail_oauth.admin.dashboard.charts import HEIGHT, WIDTH, Chart, Series, spread_ticks


def chart(*rows: tuple[int, ...]) -> Chart:
    labels = tuple(str(number) for number in range(len(rows[0])))
    series = tuple(Series(f"series {number}", f"s{number}", row) for number, row in enumerate(rows))
    return Chart(key="k", title="t", description="d", unit="an hour", labels=labels, ticks=labels, series=series)


@pytest.mark.parametrize(
    "rows",
    [
        [(1, 2, 3)],
        [(1_000_000, 0, 5), (1, 0, 0), (1, 1, 1)],
        [(10**9,), (1,), (1,), (1,), (1,), (1,)],
        [(1,), (1,), (1,)],
    ],
)
def test_bars_lie_in_the_frame_and_on_each_other(rows):
    drawn = chart(*rows)
    assert len(drawn.bars) == sum(number > 0 for row in rows for number in row), "every number but zero is seen"
    for x, bars in itertools.groupby(drawn.bars, key=lambda bar: bar.x):
        ground = HEIGHT
        for bar in bars:
            assert bar.height >= 1.9
            assert bar.y + bar.height == pytest.approx(ground, abs=0.02)
            ground = bar.y
            assert 0 <= x <= x + bar.width <= WIDTH
        assert ground >= -0.02


def test_heights_are_in_proportion():
    low, high = chart((1, 4)).bars
    assert high.height == pytest.approx(4 * low.height)
    assert high.height == HEIGHT


def test_without_numbers_nothing_is_drawn():
    empty = chart((0, 0))
    assert (empty.bars, empty.total, empty.highest, empty.table) == ([], 0, 0, [])


def test_the_table_has_what_is_drawn():
    assert chart((1, 0, 2000), (3, 0, 0)).table == [("0", ["1", "3"], "4"), ("2", ["2,000", "0"], "2,000")]


def test_ticks_begin_and_end_with_the_labels():
    labels = [str(number) for number in range(24)]
    ticks = spread_ticks(labels, 5)
    assert (len(ticks), ticks[0], ticks[-1]) == (5, "0", "23")
    assert spread_ticks(labels[:3], 5) == ("0", "1", "2")


def test_there_is_one_path_for_each_series():
    [(style, path), (other, _)] = chart((1, 0, 2), (1, 1, 0), (0, 0, 0)).paths
    assert (style, other) == ("s0", "s1")
    assert path.count("M") == path.count("z") == 2
    assert path.startswith("M20.00 60.00h160.00v60.00h-160.00z")
