"""The tables of `named` are whole, and every test that they name exists."""

from __future__ import annotations

from tests.losses.named import ISSUES, NUMBERS
from tests.naming import exists

# What `facts.md` D has there: it skips 16, 29, 33, 38, 39 and 57.
ASKED = {*range(1, 63), 67, 73} - {16, 29, 33, 38, 39, 57}


def test_every_test_that_is_named_exists():
    for what, named in [*ISSUES.items(), *NUMBERS.items()]:
        assert named, what
        for each in named:
            assert exists(each), each


def test_every_number_has_its_tests():
    assert NUMBERS.keys() == ASKED
