from __future__ import annotations

from typing import Any

import pytest

from tests.fuzz.cases import MODE, NUMBER, outcomes, tried
from tests.surfing import other_user
from tests.transport.conftest import quick, wire

__all__ = ["other_user", "quick", "wire"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "fuzz":
            item.add_marker("fuzz")
            if MODE:
                item.add_marker(pytest.mark.timeout(0))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many cases were tried, and what became of them."""
    if not MODE or not tried:
        return
    terminalreporter.section("fuzz")
    for target, number in tried.items():
        found = ", ".join(f"{count} {outcome}" for outcome, count in outcomes[target].most_common(12))
        terminalreporter.line(f"{target:<10} {number:>7}: {found}")
    terminalreporter.line(f"{sum(tried.values())} cases in all (of {NUMBER} asked for)")
