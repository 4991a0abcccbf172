"""The tests that there are, for tables that name them."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent


@cache
def names_in(path: str) -> set[str]:
    """The tests of a module below `tests/`, as pytest names them."""
    tree = ast.parse((TESTS / path).read_text())
    found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
    return found


def exists(test: str) -> bool:
    """Whether there is this test, `path::name`, or this module with tests."""
    path, _, name = test.partition("::")
    return name in names_in(path) if name else any("test_" in each for each in names_in(path))
