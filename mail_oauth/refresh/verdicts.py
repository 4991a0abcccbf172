"""From a reply or a fault to a verdict: pure functions over the table of failures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from mail_oauth.exceptions import ConfigurationError, TransportError
from mail_oauth.frames import keeps_locals_in
from mail_oauth.refresh.classification import (
    AADSTS,
    CLIENT_AADSTS,
    CLIENT_ERRORS,
    ERRORS,
    LASTING,
    LOOP_DETECTED,
    REFINEMENTS,
    RETRY_STATUSES,
    SLOW_AADSTS,
    THROTTLE_STATUSES,
    THROTTLES,
    WORDS,
    Action,
    Trouble,
)
from mail_oauth.refresh.replies import MalformedReply, parse_object, parse_tokens, token_in
from mail_oauth.tokens import HttpReply, Secret, TokenSet
from mail_oauth.transport.bodies import Body

HELD_BACK = "_held"
"""The end of a reason that stands in for REAUTH under the brake."""

_CODE = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_AADSTS = re.compile(r"AADSTS([0-9]{4,9})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What a call of the token endpoint means.

    `reason` is a code, fit to store and show. `tokens` are present when `action` is GRANTED. `rotated` is a
    new refresh token that came with a reply otherwise refused: it is saved, because the old one may be dead.
    `slow`: it passes, but not soon; `lasting` is what it means if it does not. `retry_after` is what the provider
    asked for, in seconds. `outcome_unknown`: the call may have been carried out, and the refresh token be spent.
    `trouble` is what this may mean for other mailboxes.
    """

    action: Action
    reason: str = ""
    trouble: Trouble | None = None
    slow: bool = False
    lasting: Action | None = None
    retry_after: float | None = None
    tokens: TokenSet | None = None
    rotated: Secret | None = None
    outcome_unknown: bool = False

    @property
    def kept(self) -> TokenSet | None:
        """What is to be kept of a reply that was refused: `rotated`, beside an empty access token without a life."""
        if self.rotated is None:
            return None
        return TokenSet(access_token=Secret(""), expires_in=0, refresh_token=self.rotated)


@keeps_locals_in
def judge(reply: HttpReply, *, family: str = "", now: datetime | None = None) -> Verdict:
    """Judge the raw reply of a token endpoint; `family` names the provider's own codes."""
    wish = reply.header("retry-after")
    retry_after = retry_after_seconds(wish, now or datetime.now(UTC)) if wish else None
    if 300 <= reply.status < 400:
        return Verdict(action=Action.OPERATOR, reason="redirect", trouble=Trouble.CONFIGURATION)
    success = 200 <= reply.status < 300
    try:
        body = parse_object(reply)
    except MalformedReply as malformed:
        # Not the endpoint's own words: it may have answered, and something on the way spoiled it.
        if not success:
            return replace(_passing(reply.status, retry_after), outcome_unknown=reply.status >= 500)
        return Verdict(action=Action.RETRY, reason=malformed.reason, trouble=Trouble.OUTAGE, outcome_unknown=True)
    fields = body.fields
    if success and not fields.get("error"):
        verdict = _judge_success(body)
    else:
        verdict = _judge_error(reply.status, fields, family, retry_after)
    if success and verdict.tokens is None:
        return replace(verdict, rotated=token_in(fields, "refresh_token"))
    return verdict


def judge_fault(error: TransportError | ConfigurationError) -> Verdict:
    """Judge a call that brought no reply."""
    if isinstance(error, TransportError):
        unknown = error.outcome_unknown
        return Verdict(action=Action.RETRY, reason=error.cause, trouble=Trouble.OUTAGE, outcome_unknown=unknown)
    return Verdict(action=Action.OPERATOR, reason="configuration", trouble=Trouble.CLIENT)


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


def _judge_success(body: Body) -> Verdict:
    if body.flaw:  # RFC 8259 §8.1
        return Verdict(action=Action.RETRY, reason=body.flaw)
    try:
        return Verdict(action=Action.GRANTED, tokens=parse_tokens(body.fields))
    except MalformedReply as malformed:
        return Verdict(action=Action.RETRY, reason=malformed.reason)


def _judge_error(status: int, fields: Mapping[str, Any], family: str, retry_after: float | None) -> Verdict:
    if status in RETRY_STATUSES or status >= 500:
        return _passing(status, retry_after)
    number = _aadsts(fields)
    if number is not None and number in AADSTS:
        slow, trouble = number in SLOW_AADSTS, _trouble(AADSTS[number], client=number in CLIENT_AADSTS)
        if trouble is None and AADSTS[number] is Action.RETRY and retry_after is not None and not slow:
            trouble = Trouble.THROTTLE
        return Verdict(
            action=AADSTS[number],
            reason=f"AADSTS{number}",
            trouble=trouble,
            slow=slow,
            lasting=LASTING.get(number),
            retry_after=retry_after,
        )
    refinements = REFINEMENTS.get(family, {})
    error = _by_words(fields, family) or _code(fields.get("error"))
    code = next((code for code in (_code(fields.get("error_subtype")), error) if code in refinements), error)
    action = refinements.get(code) or ERRORS.get(code)
    trouble = _trouble(action, client=code in CLIENT_ERRORS)
    if trouble is None and (retry_after is not None or code in THROTTLES):
        trouble = Trouble.THROTTLE
    if action is None:
        reason, lasting = code or f"http_{status}", Action.UNKNOWN
        return Verdict(
            action=Action.RETRY,
            reason=reason,
            trouble=trouble,
            slow=True,
            lasting=lasting,
            retry_after=retry_after,
        )
    return Verdict(action=action, reason=code, trouble=trouble, retry_after=retry_after)


def _passing(status: int, retry_after: float | None) -> Verdict:
    """Judge a status that says everything, whatever the body is."""
    throttled = status in THROTTLE_STATUSES or retry_after is not None
    trouble = Trouble.THROTTLE if throttled else Trouble.OUTAGE
    return Verdict(action=Action.RETRY, reason=f"http_{status}", trouble=trouble, retry_after=retry_after)


def _trouble(action: Action | None, *, client: bool) -> Trouble | None:
    if client:
        return Trouble.CLIENT
    return {
        Action.OPERATOR: Trouble.CONFIGURATION,
        Action.BUG: Trouble.CONFIGURATION,
        Action.REAUTH: Trouble.REAUTH,
    }.get(action or Action.RETRY)


def _code(value: Any) -> str:
    """Return an error code in lower case; nothing that could carry text into logs or pages."""
    return value.lower() if isinstance(value, str) and _CODE.fullmatch(value) else ""


def _by_words(fields: Mapping[str, Any], family: str) -> str:
    """Return a code of ours for what a provider tells by words alone; they are compared, and kept nowhere."""
    told = fields.get("error_description")
    known = WORDS.get(family, {}).get(_code(fields.get("error")), ())
    text = told[:300].lower() if isinstance(told, str) else ""
    return next((code for words, code in known if words in text), "")


def without_user(verdict: Verdict) -> Verdict:
    """Return what a verdict means where no user has consented, and so none can do it again: an administrator must act."""
    lasting = Action.ADMIN if verdict.lasting is Action.REAUTH else verdict.lasting
    if verdict.action is not Action.REAUTH:
        return replace(verdict, lasting=lasting)
    return replace(verdict, action=Action.ADMIN, trouble=None)


def _aadsts(fields: Mapping[str, Any]) -> int | None:
    """Return Microsoft's number, from `error_codes` or the first one that the description names.

    Of several, one that the table knows; before all others the loop, which only a pause ends.
    """
    codes = fields.get("error_codes")
    numbers = [code for code in codes if type(code) is int] if isinstance(codes, list) else []
    description = fields.get("error_description")
    if isinstance(description, str) and (found := _AADSTS.search(description[:300])):
        numbers.append(int(found.group(1)))
    return min(numbers, key=lambda number: (number != LOOP_DETECTED, number not in AADSTS), default=None)
