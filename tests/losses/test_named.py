"""The tables of `named` are whole, and every test that they name exists."""

from __future__ import annotations

from tests.losses.faults import FAULTS
from tests.losses.named import ISSUES, NUMBERS
from tests.naming import exists


def test_every_test_that_is_named_exists():
    for what, named in [*ISSUES.items(), *NUMBERS.items()]:
        assert named, what
        for each in named:
            assert exists(each), each


def test_every_number_has_its_tests():
    assert NUMBERS.keys() == FAULTS.keys()
