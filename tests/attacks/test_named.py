"""The tables of `named` are whole, and every test and every constant that they name exists."""

from __future__ import annotations

from functools import reduce
from importlib import import_module

import pytest

from tests.attacks.named import ABUSES, CAPS, REQUIREMENTS, RULES
from tests.naming import exists


@pytest.mark.parametrize(
    ("what", "named"), [*RULES.items(), *ABUSES.items(), *CAPS.items()], ids=lambda value: str(value)[:30]
)
def test_every_test_that_is_named_exists(what, named):
    assert named, what
    for each in named:
        assert exists(each), each


def test_every_requirement_has_its_tests():
    assert RULES.keys() == REQUIREMENTS.keys()


@pytest.mark.parametrize("name", CAPS)
def test_every_cap_is_a_number(name):
    module, _, constant = name.rpartition(".")
    value = reduce(getattr, [constant], import_module(f"mail_oauth.{module}"))
    assert isinstance(value, (int, float, tuple))
