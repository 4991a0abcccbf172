"""What the threat model promises is shown by tests that exist, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.naming import exists

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "threat-model.md"
NAMED = re.findall(r"`([\w/]+/test_\w+\.py(?:::\w+)*)`", PAGE.read_text())


@pytest.mark.parametrize("test", sorted(set(NAMED)))
def test_each_test_that_it_names_exists(test):
    assert exists(test)


def test_each_promise_names_one():
    promises = PAGE.read_text().partition("## Promises")[2]
    rows = [row for row in promises.splitlines() if row.startswith("| ") and not row.startswith("| promise")]
    assert len(rows) > 20
    assert [row for row in rows if "test_" not in row] == []


@pytest.mark.parametrize("page", [PAGE, ROOT / "SECURITY.md"], ids=lambda page: page.name)
def test_its_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)", page.read_text())
    assert links
    assert [link for link in links if not (page.parent / link).exists()] == []
