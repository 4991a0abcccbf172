"""The tables of `named` are whole, and every test that they name exists."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.losses.named import ISSUES, NUMBERS

TESTS = Path(__file__).parents[1]
# What `facts.md` D has there: it skips 16, 29, 33, 38, 39 and 57.
ASKED = {*range(1, 63), 67, 73} - {16, 29, 33, 38, 39, 57}


@cache
def names_in(path: str) -> set[str]:
    """The tests of a module, as pytest names them."""
    tree = ast.parse((TESTS / path).read_text())
    found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
    return found


@pytest.mark.parametrize(("what", "named"), [*ISSUES.items(), *NUMBERS.items()], ids=lambda value: str(value)[:20])
def test_every_test_that_is_named_exists(what, named):
    assert named, what
    for each in named:
        path, _, name = each.partition("::")
        assert name in names_in(path), each


def test_every_number_has_its_tests():
    assert NUMBERS.keys() == ASKED
