"""Medians, spreads and ratios say what the report claims of them."""

from __future__ import annotations

import pytest

from benchmarks.timing import Measured, ratio, slope, spread, take_turns


def test_a_ratio_compares_the_turns_of_the_same_round():
    drifting = [1.0, 2.0, 4.0, 8.0, 16.0]
    assert ratio([2 * value for value in drifting], drifting) == 2.0


def test_one_turn_that_was_disturbed_moves_neither_median_nor_ratio():
    quiet, disturbed = [1.0] * 9, [1.0] * 8 + [50.0]
    assert Measured(tuple(disturbed)).wall == 1.0
    assert ratio(disturbed, quiet) == 1.0


def test_the_spread_is_half_the_distance_of_the_quartiles():
    assert spread([1.0] * 8) == 0.0
    assert spread([90.0, 100.0, 110.0]) == pytest.approx(0.1)
    assert spread([3.0]) == 0.0


def test_the_slope_of_a_flat_memory_is_none():
    assert slope([5, 5, 5, 5]) == 0.0
    assert slope([0, 2, 4, 6]) == pytest.approx(2.0)
    assert slope([1]) == 0.0


def test_competitors_take_turns():
    order: list[str] = []
    measured = take_turns({"one": lambda: order.append("1"), "other": lambda: order.append("2")}, rounds=3)
    assert {name: len(cost.walls) for name, cost in measured.items()} == {"one": 3, "other": 3}
    blocks = [mark for mark, before in zip(order, ["", *order], strict=False) if mark != before]
    assert blocks == ["1", "2"] * 4  # a round that warms them, and three that count
