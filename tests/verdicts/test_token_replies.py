"""A good reply is read strictly and calmly (18 to 28 of `tests/losses/faults.py`): no storm, no eternity, nothing cut, no crash."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mail_oauth.exceptions import ConfigurationError, TransportError
from mail_oauth.refresh.classification import Action
from mail_oauth.refresh.replies import LONGEST_LIFETIME, MAX_TOKEN, SHORTEST_LIFETIME
from mail_oauth.refresh.verdicts import Verdict, judge, judge_fault
from mail_oauth.tokens import Secret
from tests.verdicts.replies import GRANTED, granted, raw, reply

DEFAULT_LIFETIME = 600
UNFIT = ["", None, 5, True, [], {}, "a\r\nb", "a\nb", "a\x01b", "a\0b", "grüße", "x" * (MAX_TOKEN + 1)]


@pytest.mark.parametrize(
    ("given_as", "seconds"),
    [
        (3599, 3599),
        ("3599", 3599),
        (" 3599 ", 3599),
        (3599.9, 3599),
        ("3599.5", 3599),
        (..., DEFAULT_LIFETIME),
        (None, DEFAULT_LIFETIME),
        (True, DEFAULT_LIFETIME),
        (False, DEFAULT_LIFETIME),
        ([3600], DEFAULT_LIFETIME),
        ({}, DEFAULT_LIFETIME),
        ("soon", DEFAULT_LIFETIME),
        ("", DEFAULT_LIFETIME),
        (float("nan"), DEFAULT_LIFETIME),
        ("nan", DEFAULT_LIFETIME),
        (0, SHORTEST_LIFETIME),
        ("0", SHORTEST_LIFETIME),
        (-3600, SHORTEST_LIFETIME),
        (float("-inf"), SHORTEST_LIFETIME),
        (1e30, LONGEST_LIFETIME),
        (float("inf"), LONGEST_LIFETIME),
        ("1e30", LONGEST_LIFETIME),
        (10**400, LONGEST_LIFETIME),
        (-(10**400), SHORTEST_LIFETIME),
    ],
    ids=repr,
)
def test_lifetimes(given_as, seconds):
    tokens = judge(granted(expires_in=given_as)).tokens
    assert tokens is not None
    assert tokens.expires_in == seconds


@given(st.one_of(st.integers(), st.floats(), st.text(), st.booleans(), st.none(), st.lists(st.integers())))
def test_any_lifetime_is_brought_within_bounds(value):
    tokens = judge(granted(expires_in=value)).tokens
    assert tokens is not None
    assert SHORTEST_LIFETIME <= tokens.expires_in <= LONGEST_LIFETIME


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER", ...])
def test_bearer_tokens_are_taken(kind):
    assert judge(granted(token_type=kind)).action is Action.GRANTED


@pytest.mark.parametrize("kind", ["mac", "DPoP", "", None, 5, ["bearer"]])
def test_tokens_of_other_kinds_are_not(kind):
    verdict = judge(granted(token_type=kind, refresh_token="new"))
    assert (verdict.action, verdict.reason, verdict.rotated) == (Action.RETRY, "token_type", Secret("new"))


@pytest.mark.parametrize("token", [..., *UNFIT], ids=lambda token: repr(token)[:20])
def test_without_a_fit_access_token_only_a_rotated_refresh_token_is_kept(token):
    verdict = judge(granted(access_token=token, refresh_token="new"))
    assert (verdict.action, verdict.reason) == (Action.RETRY, "no_access_token")
    assert (verdict.tokens, verdict.rotated) == (None, Secret("new"))


@pytest.mark.parametrize("token", [..., *UNFIT], ids=lambda token: repr(token)[:20])
def test_an_unfit_refresh_token_is_none(token):
    tokens = judge(granted(refresh_token=token)).tokens
    assert tokens is not None
    assert tokens.refresh_token is None


@pytest.mark.parametrize("size", [16 * 1024, 64 * 1024, MAX_TOKEN])
def test_long_tokens_are_taken_whole(size):
    tokens = judge(granted(access_token="a" * size, refresh_token="r" * size)).tokens
    assert tokens is not None
    assert (len(tokens.access_token), len(tokens.refresh_token)) == (size, size)


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        ("mail openid", ("mail", "openid")),
        ("a,b, c", ("a", "b", "c")),
        ("mail mail", ("mail",)),
        ("", ()),
        ("  ", ()),
        (..., None),
        (None, None),
        (["mail"], ("mail",)),
    ],
    ids=repr,
)
def test_scopes(scope, scopes):
    tokens = judge(granted(scope=scope)).tokens
    assert tokens is not None
    assert tokens.scopes == scopes


@pytest.mark.parametrize(
    ("value", "seconds"), [(604800, 604800), ("604800", 604800), (0, None), (-5, None), ("x", None), (..., None)]
)
def test_the_end_of_a_grant(value, seconds):
    tokens = judge(granted(refresh_token_expires_in=value)).tokens
    assert tokens is not None
    assert tokens.refresh_token_expires_in == seconds


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not_json"),
        (b"<html>", "not_json"),
        (b"{", "not_json"),
        (b"\xff\xfe{}", "not_json"),
        (b"[" * 200_000 + b"]" * 200_000, "too_deep"),
        (b'{"a":' * 100 + b"1" + b"}" * 100, "too_deep"),
        (b'{"a": {"a": }', "not_json"),
        (b"[]", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b"null", "not_an_object"),
        (b"5", "not_an_object"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_no_json_object_is_retried_and_may_have_worked(body, reason):
    verdict = judge(raw(body))
    assert (verdict.action, verdict.reason, verdict.outcome_unknown) == (Action.RETRY, reason, True)


@pytest.mark.parametrize("number", ["9" * 5000, "-" + "9" * 5000, "1" + "0" * 400, "1e999999", "0." + "3" * 5000])
def test_a_number_that_nobody_can_reckon_with_costs_no_token(number):
    """Python refuses to read an integer of thousands of digits; the rotated token beside it must not go with it."""
    body = json.dumps({**GRANTED, "refresh_token": "new"}).replace("3600", number)
    tokens = judge(raw(body.encode())).tokens
    assert tokens is not None
    assert tokens.refresh_token == Secret("new")
    assert SHORTEST_LIFETIME <= tokens.expires_in <= LONGEST_LIFETIME


@pytest.mark.parametrize(
    "encoded",
    [
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode("utf-16-be"),
        lambda text: text.encode("utf-32"),
        lambda text: text.replace("plain", "gr\u00fc\u00dfe").encode("latin-1"),
        lambda text: text.encode().replace(b"plain", b"\xff\xfe"),
    ],
    ids=["UTF-16", "UTF-16 LE", "UTF-16 BE", "UTF-32", "Latin-1", "broken UTF-8"],
)
def test_another_encoding_is_refused_but_its_refresh_token_is_kept(encoded):
    body = encoded(json.dumps({**GRANTED, "refresh_token": "new", "note": "plain"}))
    verdict = judge(raw(body))
    assert (verdict.action, verdict.reason) == (Action.RETRY, "encoding")
    assert (verdict.tokens, verdict.rotated) == (None, Secret("new"))


def test_a_refresh_token_that_could_not_be_read_is_none():
    body = json.dumps({**GRANTED, "refresh_token": "plain"}).encode().replace(b"plain", b"new\xff")
    assert judge(raw(body)).rotated is None


@pytest.mark.parametrize(
    "content_type", ["", "text/html", "application/json; charset=utf-16", "x", "\x80", "a" * 9000]
)
def test_what_a_reply_says_of_itself_makes_no_difference(content_type):
    assert judge(raw(json.dumps(GRANTED).encode(), content_type=content_type)).action is Action.GRANTED


def test_of_a_member_that_stands_twice_the_last_counts_everywhere():
    body = b'{"access_token": "a", "access_token": "b", "refresh_token": "c", "refresh_token": "d"}'
    tokens = judge(raw(body)).tokens
    assert (tokens.access_token, tokens.refresh_token) == (Secret("b"), Secret("d"))
    spoiled = judge(raw(body[:-1] + b', "error": "", "error": "invalid_grant"}'))
    assert (spoiled.action, spoiled.rotated) == (Action.REAUTH, Secret("d"))


def test_a_description_of_any_depth_is_not_turned_into_text():
    """Written out it would need more stack than it was read with."""
    for depth in range(40, 64):
        description = json.loads("[" * depth + "]" * depth)
        assert (
            judge(reply({"error": "invalid_grant", "error_description": description}, 400)).action is Action.REAUTH
        )


def test_a_byte_order_mark_is_refused_but_its_refresh_token_is_kept():
    body = b"\xef\xbb\xbf" + json.dumps({**GRANTED, "refresh_token": "new"}).encode()
    verdict = judge(raw(body))
    assert (verdict.action, verdict.tokens, verdict.rotated) == (Action.RETRY, None, Secret("new"))


@pytest.mark.parametrize("error", ["invalid_grant", "server_error", {"code": 5}])
def test_an_error_in_a_good_status_is_an_error_and_its_refresh_token_is_kept(error):
    verdict = judge(granted(error=error, refresh_token="new"))
    assert verdict.action is not Action.GRANTED
    assert verdict.rotated == Secret("new")


def test_a_refresh_token_in_a_refusal_is_not_believed():
    assert judge(reply({**GRANTED, "error": "invalid_grant", "refresh_token": "new"}, 400)).rotated is None


def test_any_good_status_is_a_grant():
    assert judge(reply(GRANTED, 201)).action is Action.GRANTED


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
members = st.sampled_from(
    "access_token refresh_token expires_in token_type scope id_token error error_codes error_description "
    "error_subtype refresh_token_expires_in claims".split()
)
statuses = st.sampled_from([200, 201, 204, 302, 400, 401, 403, 404, 408, 429, 500, 503, 999]) | st.integers(
    100, 999
)
families = st.sampled_from(["", "microsoft", "google", "google_app", "yahoo", "zoho"])


def is_presentable(verdict: Verdict) -> bool:
    """Its reason is a short code, and tokens come with a grant only."""
    code = verdict.reason.replace("_", "").replace(".", "").replace("-", "")
    return (
        isinstance(verdict.action, Action)
        and (verdict.tokens is not None) == (verdict.action is Action.GRANTED)
        and len(verdict.reason) <= 60
        and (not code or (code.isascii() and code.isalnum()))
    )


@given(st.binary(max_size=200), statuses, families, st.text(max_size=40))
@example(b"{}", 200, "", "")
def test_any_bytes_are_judged(body, status, family, retry_after):
    assert is_presentable(judge(raw(body, status, retry_after=retry_after), family=family))


@given(json_values, statuses, families)
def test_any_json_is_judged(value, status, family):
    assert is_presentable(judge(reply(value, status), family=family))


@given(st.dictionaries(members, json_values), statuses, families)
def test_any_members_of_any_type_are_judged(fields, status, family):
    assert is_presentable(judge(reply(fields, status), family=family))


@given(st.dictionaries(members, json_values))
def test_no_words_of_a_provider_reach_a_reason(fields):
    verdict = judge(reply({**fields, "error_description": "<script>words of theirs"}, 400))
    assert "words" not in verdict.reason


@pytest.mark.parametrize("unknown", [True, False])
def test_a_fault_on_the_way_is_retried(unknown):
    verdict = judge_fault(TransportError("No answer.", cause="timeout", outcome_unknown=unknown))
    assert (verdict.action, verdict.reason, verdict.outcome_unknown) == (Action.RETRY, "timeout", unknown)


def test_a_wrong_setting_is_the_operators():
    assert judge_fault(ConfigurationError("words")).action is Action.OPERATOR


def test_a_verdict_shows_no_token():
    verdict = judge(granted(access_token="canary-1", refresh_token="canary-2", id_token="canary-3"))
    assert "canary" not in repr(verdict)
    assert "canary" not in repr(judge(granted(token_type="mac", refresh_token="canary-4")))
