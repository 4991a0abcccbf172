"""The catalogue is what the code finds: no id without an entry, no entry without a finding and a test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.core.checks import Error, Warning  # noqa: A004

import mail_oauth
from mail_oauth.checks.catalogue import CATALOGUE, found

CODE = Path(mail_oauth.__file__).parent
ENTRIES = [CODE / "checks" / f"{name}.py" for name in ("catalogue", "production")]
CHECKS = "\n".join(path.read_text() for path in (CODE / "checks").glob("*.py") if path not in ENTRIES)
NUMBER = r'"([EW]\d{3})"'


def test_every_finding_has_an_entry_and_every_entry_a_finding():
    """Also one that is found elsewhere in the app, where its id is written out."""
    elsewhere = {
        number
        for path in CODE.rglob("*.py")
        for number in re.findall(r"\"mail_oauth\.([EW]\d{3})\"", path.read_text())
    }
    assert set(re.findall(NUMBER, CHECKS)) | elsewhere == set(CATALOGUE)


def test_every_entry_has_a_test():
    """Of those of checks alone: elsewhere an id may stand because it is silenced."""
    here = Path(__file__)
    of_keys = {here.parents[1] / "keys" / f"test_{name}.py" for name in ("sources", "status")}
    of_checks = {*here.parent.glob("test_*.py"), *of_keys} - {here}
    tests = "\n".join(path.read_text() for path in of_checks)
    assert set(CATALOGUE) - set(re.findall(r'"(?:mail_oauth\.)?([EW]\d{3})"', tests)) == set()


def test_an_entry_stands_once_and_in_order():
    assert list(CATALOGUE) == sorted(CATALOGUE)
    text = "\n".join(path.read_text() for path in ENTRIES)
    numbers = re.findall(r"^    \"([EW]\d{3})\": \(", text, re.MULTILINE)
    assert len(numbers) == len(set(numbers)) == len(CATALOGUE)


def test_the_first_letter_is_the_level():
    assert isinstance(found("E004", "text"), Error)
    warning = found("W002", "text")
    assert isinstance(warning, Warning)
    assert (warning.id, warning.hint) == ("mail_oauth.W002", CATALOGUE["W002"].line)


def test_a_finding_without_an_entry_is_refused():
    with pytest.raises(KeyError):
        found("E999", "text")
