"""One refresh of a claimed mailbox: call, judge, save, publish. Knows rows by protocol only."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from django.db import InterfaceError, OperationalError, connections
from django.utils import timezone

from mail_oauth import parking
from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError, SealError, TransportError
from mail_oauth.providers import Provider, provider_for
from mail_oauth.refresh.adoption import park, parked_for
from mail_oauth.refresh.asking import ask, ask_for_app
from mail_oauth.refresh.classification import VERSION, Action
from mail_oauth.refresh.lanes import Hold
from mail_oauth.refresh.ledger import Grant, Ledger
from mail_oauth.refresh.policy import (
    failures_in_a_row,
    least_validity,
    margin,
    postponement,
    retry_delay,
    unreadable_pause,
)
from mail_oauth.refresh.verdicts import HELD_BACK, Verdict, judge_fault
from mail_oauth.tokens import AccessToken, Secret, TokenSet, scope_set

T = TypeVar("T")
logger = logging.getLogger(__name__)

SAVE_PAUSES = (0.05, 0.2, 1.0)
"""How long to wait before each further attempt to save, in seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of one refresh. `token` is there when it was granted *and* saved.

    `held`: nothing was tried, because calls of the provider are held.
    """

    verdict: Verdict
    token: AccessToken | None = None
    retry_in: timedelta | None = None
    held: bool = False


def refresh(
    grant: Grant,
    ledger: Ledger,
    *,
    min_validity: float | None = None,
    force: bool = False,
    may_be_parked: bool = True,
) -> Outcome:
    """Refresh a claimed mailbox. The new pair is saved before anyone sees it.

    A parked pair is adopted instead where its access token still lives `min_validity` seconds; where it does
    not, its refresh token is saved and used; who has looked already says so by `may_be_parked`. Under a hold of its
    provider no call is made, unless by `force`.
    Raises a database error if the outcome could not be saved after several attempts: then the pair is parked, and
    the token endpoint is never asked a second time for that.
    """
    adopted = adopt(grant, ledger, min_validity=min_validity) if may_be_parked else None
    if adopted is not None:
        return adopted
    try:
        refresh_token = grant.open_refresh_token()
    except SealError as error:
        return unreadable(grant, ledger, error)
    except ConfigurationError:  # no keys at all: nothing was tried
        ledger.postpone(grant, app_settings().backoff_base)
        raise
    admission = ledger.lanes.admit(grant, force=force)
    if admission.hold is not None:
        return _held(grant, ledger, admission.hold)
    said, rotation = spend(grant, refresh_token)
    if said.tokens is not None:
        outcome = _granted(grant, ledger, said, said.tokens)
    else:
        outcome = _refused(grant, ledger, said)
    ledger.lanes.learn(grant, said, admission)
    report(grant, outcome, rotation)
    return outcome


def _held(grant: Grant, ledger: Ledger, hold: Hold) -> Outcome:
    """Leave a mailbox until calls of its lane are tried again: nothing was done, and nothing failed."""
    seconds = postponement(hold.seconds)
    ledger.postpone(grant, seconds)
    verdict = Verdict(action=Action.RETRY, reason=hold.reason)
    return Outcome(verdict=verdict, retry_in=timedelta(seconds=seconds), held=True)


def unreadable(grant: Grant, ledger: Ledger, error: SealError) -> Outcome:
    """Leave a mailbox whose refresh token cannot be opened: no call is made, and no lane is to blame."""
    logger.warning(
        "mailbox %s: %s",
        grant.pk,
        error,
        extra={"action": "refresh", "mailbox": str(grant.pk), "outcome": "unreadable", "reason": error.code},
    )
    seconds = unreadable_pause()
    ledger.save_unreadable(grant, error.code, seconds)
    verdict = Verdict(action=Action.OPERATOR, reason=error.code)
    return Outcome(verdict=verdict, retry_in=timedelta(seconds=seconds))


def _second_thoughts(grant: Grant, ledger: Ledger, verdict: Verdict) -> tuple[Verdict, tuple[UUID, ...]]:
    """Weigh a refusal once more before anyone is blamed for it, by what is known besides the reply.

    The mailboxes that come with it are those whose users were told too early.
    """
    if verdict.lasting is not None and failures_in_a_row(grant, verdict) >= app_settings().attention_after:
        verdict = replace(verdict, action=verdict.lasting)
    if verdict.action is not Action.REAUTH:
        return verdict, ()
    if grant.outcome_unknown:
        # The reply to the previous attempt was lost: the provider may be refusing what it just replaced.
        return replace(verdict, action=Action.RETRY, reason=f"{verdict.reason}_after_unknown"), ()
    if grant.last_refresh_error.endswith(HELD_BACK) and not ledger.lanes.braking(grant):
        return verdict, ()  # a brake gave it time, and it is refused again
    brake = ledger.lanes.brake(grant, verdict)
    if brake is None:
        return verdict, ()
    reason = verdict.reason + HELD_BACK
    return replace(verdict, action=Action.RETRY, reason=reason, retry_after=brake.seconds), brake.told


def adopt(grant: Grant, ledger: Ledger, *, min_validity: float | None = None) -> Outcome | None:
    """Save what is parked for a claimed mailbox; None when its provider must be asked, with the token it has then.

    An access token that has aged meanwhile is not handed out: of such a pair the refresh token counts, and the
    claim is kept to use it. The parked copy goes when the database has the pair.
    """
    pair = parked_for(grant)
    if pair is None:
        return None
    tokens, received_at, lifetime = pair.tokens, pair.received_at, pair.tokens.expires_in
    verdict = Verdict(action=Action.GRANTED, reason="adopted", tokens=tokens)
    outcome: Outcome | None = Outcome(verdict=verdict)
    if pair.seconds_left(timezone.now()) > max(margin(lifetime), least_validity(lifetime, min_validity)):
        token = persist(lambda: ledger.save_tokens(grant, tokens, received_at, reason="adopted"))
        outcome = Outcome(verdict=verdict, token=token)
    elif not pair.brings_other_than(grant.open_refresh_token()) or persist(
        lambda: ledger.keep_refresh_token(grant, tokens, received_at, reason="adopted")
    ):
        outcome = None
    if outcome is None or outcome.token is not None:
        parking.discard(grant.pk, pair)
    if outcome is not None:
        report(grant, outcome, "absent" if tokens.refresh_token is None else "new")
    return outcome


def spend(grant: Grant, refresh_token: Secret, *, scope: str | None = None) -> tuple[Verdict, str]:
    """Call the token endpoint and judge what comes back; say of the refresh token absent, same or new.

    For the mailbox's own scopes unless `scope` is given.
    """
    if grant.is_app_only:
        return ask_for_app(grant, scope=scope), "absent"
    try:
        provider: Provider = provider_for(grant.provider)
        if not refresh_token:
            return Verdict(action=Action.REAUTH, reason="no_refresh_token"), "absent"
        wanted = provider.refresh_scope(grant.requested_scopes) if scope is None else scope
        verdict = ask(provider, lambda endpoint: endpoint.refresh(refresh_token, scope=wanted)).verdict
    except (TransportError, ConfigurationError) as error:
        return judge_fault(error), "absent"
    came = verdict.tokens.refresh_token if verdict.tokens else verdict.rotated
    return verdict, "absent" if came is None else "same" if came == refresh_token else "new"


def _granted(grant: Grant, ledger: Ledger, verdict: Verdict, tokens: TokenSet) -> Outcome:
    received_at = timezone.now()
    reason = "scope_missing" if _narrower(grant, tokens) else ""
    token = save_or_park(
        grant, tokens, received_at, lambda: ledger.save_tokens(grant, tokens, received_at, reason=reason)
    )
    return Outcome(verdict=verdict, token=token)


def _narrower(grant: Grant, tokens: TokenSet) -> bool:
    """Tell whether mail scopes that were asked for are missing. What was granted is kept all the same."""
    requested = scope_set(grant.requested_scopes)
    try:
        return bool(provider_for(grant.provider).missing_scopes(tokens.scopes, requested))
    except Exception:  # whatever a project's own class raises, the pair is saved
        about = {"action": "refresh", "mailbox": str(grant.pk), "outcome": "scopes_not_compared"}
        logger.exception("the scopes of mailbox %s could not be compared", grant.pk, extra=about)
        return False


def _refused(grant: Grant, ledger: Ledger, said: Verdict) -> Outcome:
    kept, now = said.kept, timezone.now()
    verdict, told = save_or_park(grant, kept, now, lambda: _second_thoughts(grant, ledger, said))
    retry_in = _retry_in(grant, verdict)
    save_or_park(grant, kept, now, lambda: ledger.save_failure(grant, verdict, retry_in))
    if verdict.action is Action.REAUTH and ledger.lanes.braking(grant):
        told = (grant.pk,)  # others pulled the brake while this was saved
    _reinstate(ledger, told, verdict)
    return Outcome(verdict=verdict, retry_in=retry_in)


def _reinstate(ledger: Ledger, pks: tuple[UUID, ...], verdict: Verdict) -> None:
    """Take back what users were told before the brake was pulled; one that fails stops no other."""
    reason = verdict.reason.removesuffix(HELD_BACK) + HELD_BACK
    for pk in pks:
        try:
            ledger.reinstate(pk, reason, app_settings().brake_seconds)
        except Exception:
            logger.exception(
                "mailbox %s could not be reinstated", pk, extra={"action": "brake", "mailbox": str(pk)}
            )


def save_or_park(grant: Grant, tokens: TokenSet | None, received_at: datetime, save: Callable[[], T]) -> T:
    """Save; if that ends with whatever error, park the tokens that came and let the error go on."""
    try:
        return persist(save)
    except BaseException:  # a signal's handler may raise while the save is tried again
        if tokens is not None:
            park(grant, tokens, received_at)
        raise


def _retry_in(grant: Grant, verdict: Verdict) -> timedelta | None:
    """When to try again by itself; None where only the user can mend it."""
    if verdict.action is Action.REAUTH:
        return None
    slow = verdict.slow or verdict.action is Action.ADMIN  # what an operator mends works within BACKOFF_CAP
    failures = failures_in_a_row(grant, verdict)
    return timedelta(seconds=retry_delay(failures, slow=slow, retry_after=verdict.retry_after))


def persist(save: Callable[[], T]) -> T:
    """Save, trying again while the database is away: the provider may have rotated the token already.

    Raises the database's error when it stays away.
    """
    for pause in SAVE_PAUSES:
        try:
            return save()
        except (OperationalError, InterfaceError):
            time.sleep(pause)
            _drop_broken_connections()
    return save()


def _drop_broken_connections() -> None:
    """Let the next attempt connect anew: a connection that broke stays broken.

    One inside a transaction is left alone: Django would close it whether it is broken or not.
    """
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()


def report(grant: Grant, outcome: Outcome, rotation: str) -> None:
    """Log one structured record; it holds codes and numbers, never a token."""
    verdict, token = outcome.verdict, outcome.token
    calm = verdict.action in {Action.GRANTED, Action.RETRY} and not verdict.slow
    level = logging.INFO if calm else logging.WARNING
    if not logger.isEnabledFor(level):
        return
    lost = verdict.tokens is not None and token is None
    logger.log(
        level,
        "refresh of mailbox %s: %s",
        grant.pk,
        "lost the race" if lost else verdict.reason or verdict.action.value,
        extra={
            "action": "refresh",
            "mailbox": str(grant.pk),
            "provider": grant.provider,
            "outcome": verdict.action.value,
            "reason": verdict.reason,
            "generation": token.generation if token else grant.generation,
            "expires_at": token.expires_at.isoformat() if token else None,
            "refresh_token": rotation,
            "table_version": VERSION,
        },
    )
