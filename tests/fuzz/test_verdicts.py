"""Whatever a token endpoint answers: a verdict, never a crash, and never a grant that was not there."""

from __future__ import annotations

from typing import Any

import pytest

from mail_oauth.refresh.classification import Action
from mail_oauth.refresh.replies import LONGEST_LIFETIME, SHORTEST_LIFETIME
from mail_oauth.refresh.verdicts import Verdict, judge
from mail_oauth.tokens import HttpReply
from tests.fuzz.cases import body_of, corpus, fuzz
from tests.fuzz.replies import Case, cases, fit, grants, read
from tests.verdicts.test_token_replies import is_presentable


def judged(case: Case) -> Verdict:
    reply = HttpReply(status=case.status, body=case.body, headers=dict(case.headers))
    return judge(reply, family=case.family)


def holds(case: Case) -> str:
    """Judge a reply, and check all that must be true of the verdict."""
    verdict = judged(case)
    fields = read(case.body)
    assert is_presentable(verdict)
    assert (verdict.action is Action.GRANTED) == grants(case)
    assert verdict.retry_after is None or verdict.retry_after >= 0
    if verdict.tokens is not None:
        assert verdict.tokens.access_token.reveal() == fields["access_token"]
        assert SHORTEST_LIFETIME <= verdict.tokens.expires_in <= LONGEST_LIFETIME
        came = fields.get("refresh_token")
        kept = verdict.tokens.refresh_token
        assert (kept is not None) == fit(came)
        assert kept is None or kept.reveal() == came
        assert " ".join(verdict.tokens.scopes or ()).isprintable()
    elif fields is not None and 200 <= case.status < 300 and verdict.reason != "too_deep":
        came = fields.get("refresh_token")
        assert (verdict.rotated is not None) == fit(came), "what the provider rotated to must not be lost"
    if verdict.rotated is not None:
        assert 200 <= case.status < 300
        assert fit(verdict.rotated.reveal())
    return verdict.action.value


def test_any_reply_is_judged():
    fuzz("verdicts", cases(), holds)


@pytest.mark.parametrize("case", corpus("verdicts"), ids=lambda case: case["name"])
def test_the_corpus(case: dict[str, Any]):
    reply = Case(
        case.get("status", 200), body_of(case), tuple(case.get("headers", {}).items()), case.get("family", "")
    )
    holds(reply)
    verdict = judged(reply)
    rotated = verdict.rotated.reveal() if verdict.rotated else None
    assert (verdict.action.value, verdict.reason, rotated) == (case["action"], case["reason"], case.get("rotated"))
