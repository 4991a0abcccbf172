"""docs/troubleshooting.md knows every code that the app knows; its tables are compared with those of the code."""

from __future__ import annotations

import re

import pytest

from mail_oauth.conf import NAMES
from mail_oauth.mailbox.refusals import Fault
from mail_oauth.managers.vocabulary import Status
from mail_oauth.refresh import classification
from mail_oauth.refresh.classification import Action
from mail_oauth.transport import calls
from mail_oauth.upkeep.doctor.hints import HINTS
from tests.documentation import troubles
from tests.documentation.blocks import DOCS

TEXT = (DOCS / "troubleshooting.md").read_text()
ROWS = {
    code: row
    for row in TEXT.splitlines()
    for code in re.findall(r"`([\w.]+)`", row.split("|")[1] if "|" in row else "")
}


@pytest.mark.parametrize(
    ("words", "codes"),
    [
        (troubles.ERRORS, classification.ERRORS),
        (troubles.AADSTS, classification.AADSTS),
        *((troubles.OTHERS[family], codes) for family, codes in classification.REFINEMENTS.items()),
    ],
)
def test_each_code_has_words_and_each_word_a_code(words, codes):
    assert set(words) == set(codes)


def test_each_code_of_the_doctor_is_on_the_page():
    assert set(HINTS) - set(ROWS) == set()


def test_who_is_to_act_is_told_what_to_do():
    for number, action in classification.AADSTS.items():
        if action in {Action.OPERATOR, Action.BUG, Action.ADMIN}:
            assert f"AADSTS{number}" in HINTS or troubles.AADSTS[number][1], number


def test_each_fault_of_the_way_is_on_the_page():
    causes = {cause for _, _, cause, _ in calls._FAULTS}
    assert causes - set(ROWS) == set()


def test_each_refusal_of_a_mail_server_is_on_the_page():
    assert {fault.value for fault in Fault} - {Fault.UNAVAILABLE.value} <= set(ROWS)


def test_the_names_exist():
    assert set(re.findall(r"`(needs_\w+)`", TEXT)) <= set(Status.values)
    options = {"TOKEN_URL", "SCOPES", "SENDING", "CALLS_PER_SECOND", "ADDRESS", "ALIAS", "ACCESS"}
    assert set(re.findall(r"`([A-Z][A-Z_]{3,})`", TEXT)) <= set(NAMES) | options


def test_a_number_stands_once():
    ids = re.findall(r'<span id="(\S+)">', TEXT)
    assert len(ids) == len(set(ids)) > 100


@pytest.mark.parametrize(("code", "tenant"), [("AADSTS9002331", "consumers"), ("AADSTS9002332", "organizations")])
def test_whom_an_app_is_for_decides_the_tenant(code, tenant):
    """Microsoft: "for use by Microsoft Account users only", and "by Microsoft Entra users only"."""
    assert f'"TENANT": "{tenant}"' in HINTS[code]
