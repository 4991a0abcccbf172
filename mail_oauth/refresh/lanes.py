"""When a failure concerns more than its own mailbox: holds on the lanes of a provider, as pure functions.

A lane is the calls of one provider app (`tenant` empty), or of one organisation's mailboxes there. A held lane
makes no call until its pause is over; then one call tries, and its verdict ends the hold or begins a longer pause.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol
from uuid import UUID

from mail_oauth.conf import app_settings
from mail_oauth.refresh.classification import Action, Trouble
from mail_oauth.refresh.verdicts import Verdict

_CLIENT_ACCEPTED = frozenset({Action.GRANTED, Action.REAUTH, Action.ADMIN})
"""Whoever is told something about a grant has passed the client's authentication."""

_SILENCE = frozenset({Trouble.OUTAGE, Trouble.THROTTLE})

WISHED = frozenset({Trouble.THROTTLE, Trouble.BY_HAND})
"""Holds that somebody wants: no call tries before their time, whoever asks for it."""


class Calling(Protocol):
    """A claimed row, as far as lanes need to know it."""

    pk: UUID
    provider: str
    tenant: str


class Reach(Enum):
    """How far a trouble reaches."""

    APP = "app"
    TENANT = "tenant"


@dataclass(frozen=True, kw_only=True, slots=True)
class Hold:
    """Why a lane makes no calls for another `seconds`; none are left when it is time for one to try.

    `trials` counts the pauses so far.
    """

    pk: int
    provider: str
    tenant: str
    trouble: Trouble
    reason: str
    trials: int
    seconds: float

    def after(self, seconds: float) -> Hold:
        """Return the same hold, as it is some seconds later."""
        return replace(self, seconds=self.seconds - seconds)


@dataclass(frozen=True, kw_only=True, slots=True)
class Admission:
    """Whether a call may be made: not under a `hold`. One that tries for its lane is `probing` those holds."""

    hold: Hold | None = None
    probing: tuple[Hold, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Brake:
    """For how many seconds no user is told that a grant was refused, and who was told before that showed."""

    seconds: float
    told: tuple[UUID, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Sightings:
    """How many mailboxes had the same trouble, and of how many organisations they are.

    A mailbox of no organisation counts as one of its own.
    """

    mailboxes: int = 0
    tenants: int = 0


def reach(in_app: Sightings, in_tenant: Sightings, *, only_tenant: Callable[[], bool]) -> Reach | None:
    """Tell which lane is held after these failures with no success between, in the app or in the organisation.

    The app's is not held for one organisation's sake, unless it might as well be the `only_tenant`.
    """
    enough = app_settings().circuit_mailboxes
    if in_app.mailboxes >= enough and (in_app.tenants > 1 or only_tenant()):
        return Reach.APP
    return Reach.TENANT if in_tenant.mailboxes >= enough else None


def brakes(refused: int, granted: int) -> bool:
    """Tell whether so many refused grants cannot be their users' doing."""
    settings = app_settings()
    return refused >= settings.brake_count and refused >= settings.brake_share * (refused + granted)


def pause(trials: int, retry_after: float | None = None) -> float:
    """Return for how many seconds a lane is held before its `trials`-th trial.

    A provider's Retry-After is honoured up to `CIRCUIT_CAP`: what is tried then is one call, not all of them.
    """
    settings = app_settings()
    doubled = settings.circuit_pause * 2.0 ** min(trials - 1, 20)
    return min(max(doubled, retry_after or 0.0), max(settings.circuit_cap, settings.circuit_pause))


def is_over(trouble: Trouble, verdict: Verdict) -> bool:
    """Tell whether the verdict on a trial shows that a hold's trouble is over."""
    if trouble is Trouble.CLIENT:
        return verdict.action in _CLIENT_ACCEPTED
    if trouble is Trouble.CONFIGURATION:
        return verdict.action is Action.GRANTED
    return verdict.trouble not in _SILENCE


def is_still(trouble: Trouble, verdict: Verdict) -> bool:
    """Tell whether it shows that the trouble goes on; what says neither is a trial that brought nothing."""
    return verdict.trouble is trouble or {trouble, verdict.trouble} <= _SILENCE
