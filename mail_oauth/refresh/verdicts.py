"""From a reply or a fault to a verdict: pure functions over the table of failures."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from mail_oauth.exceptions import ConfigurationError, TransportError
from mail_oauth.refresh.classification import (
    AADSTS,
    ERRORS,
    LOOP_DETECTED,
    REFINEMENTS,
    RETRY_STATUSES,
    SLOW_AADSTS,
    Action,
)
from mail_oauth.refresh.replies import MalformedReply, parse_object, parse_tokens, token_in
from mail_oauth.tokens import HttpReply, Secret, TokenSet

_CODE = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_AADSTS = re.compile(r"AADSTS(\d{4,9})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a call of the token endpoint means.

    `reason` is a code, fit to store and show. `tokens` are present when `action` is GRANTED. `rotated` is a
    new refresh token that came with a reply otherwise refused: it is saved, because the old one may be dead.
    `slow`: it passes, but not soon. `retry_after` is what the provider asked for, in seconds.
    `outcome_unknown`: the call may have been carried out, and the refresh token be spent.
    """

    action: Action
    reason: str = ""
    slow: bool = False
    retry_after: float | None = None
    tokens: TokenSet | None = None
    rotated: Secret | None = None
    outcome_unknown: bool = False


def judge(reply: HttpReply, *, family: str = "", now: datetime | None = None) -> Verdict:
    """Judge the raw reply of a token endpoint; `family` names the provider's own codes."""
    retry_after = retry_after_seconds(reply.header("retry-after"), now or datetime.now(UTC))
    if 300 <= reply.status < 400:
        return Verdict(action=Action.OPERATOR, reason="redirect")
    success = 200 <= reply.status < 300
    try:
        fields = parse_object(reply)
    except MalformedReply as malformed:
        # Not the endpoint's own words: it may have answered, and something on the way spoiled it.
        reason = malformed.reason if success else f"http_{reply.status}"
        unknown = success or reply.status >= 500
        return Verdict(action=Action.RETRY, reason=reason, retry_after=retry_after, outcome_unknown=unknown)
    if success and not fields.get("error"):
        verdict = _judge_success(reply, fields)
    else:
        verdict = _judge_error(reply.status, fields, family, retry_after)
    if success and verdict.tokens is None:
        return replace(verdict, rotated=token_in(fields, "refresh_token"))
    return verdict


def judge_fault(error: TransportError | ConfigurationError) -> Verdict:
    """Judge a call that brought no reply."""
    if isinstance(error, TransportError):
        return Verdict(action=Action.RETRY, reason=error.cause, outcome_unknown=error.outcome_unknown)
    return Verdict(action=Action.OPERATOR, reason="configuration")


def retry_after_seconds(value: str, now: datetime) -> float | None:
    """Read Retry-After (RFC 9110 §10.2.3), in seconds or as a date; None where it is absent or garbage."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:12])
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max((moment - now).total_seconds(), 0.0)


def _judge_success(reply: HttpReply, fields: Mapping[str, Any]) -> Verdict:
    if reply.body.startswith(BOM_UTF8):  # RFC 8259 §8.1
        return Verdict(action=Action.RETRY, reason="byte_order_mark")
    try:
        return Verdict(action=Action.GRANTED, tokens=parse_tokens(fields))
    except MalformedReply as malformed:
        return Verdict(action=Action.RETRY, reason=malformed.reason)


def _judge_error(status: int, fields: Mapping[str, Any], family: str, retry_after: float | None) -> Verdict:
    if status in RETRY_STATUSES or status >= 500:
        return Verdict(action=Action.RETRY, reason=f"http_{status}", retry_after=retry_after)
    error = _code(fields.get("error"))
    number = _aadsts(fields)
    if number in AADSTS:
        slow = number in SLOW_AADSTS
        return Verdict(action=AADSTS[number], reason=f"AADSTS{number}", slow=slow, retry_after=retry_after)
    refinements = REFINEMENTS.get(family, {})
    for code in (_code(fields.get("error_subtype")), error):
        if code in refinements:
            return Verdict(action=refinements[code], reason=code, retry_after=retry_after)
    action = ERRORS.get(error)
    if action is None:
        return Verdict(action=Action.RETRY, reason=error or f"http_{status}", slow=True, retry_after=retry_after)
    return Verdict(action=action, reason=error, retry_after=retry_after)


def _code(value: Any) -> str:
    """Return an error code in lower case; nothing that could carry text into logs or pages."""
    return value.lower() if isinstance(value, str) and _CODE.fullmatch(value) else ""


def _aadsts(fields: Mapping[str, Any]) -> int | None:
    """Return Microsoft's number, from `error_codes` or the first one that the description names.

    Of several, one that the table knows; before all others the loop, which only a pause ends.
    """
    codes = fields.get("error_codes")
    numbers = [code for code in codes if type(code) is int] if isinstance(codes, list) else []
    found = _AADSTS.search(str(fields.get("error_description", ""))[:300])
    if found:
        numbers.append(int(found.group(1)))
    return min(numbers, key=lambda number: (number != LOOP_DETECTED, number not in AADSTS), default=None)
