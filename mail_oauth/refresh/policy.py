"""When a token is too old, and when to try again: pure functions of times and settings."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Protocol
from uuid import UUID

from mail_oauth.conf import Settings, app_settings
from mail_oauth.refresh.verdicts import HELD_BACK, Verdict

_SAME_LIFETIME = 2.0
"""By how many seconds the lifetimes of a provider's tokens may differ that are meant to be the same."""

_FORWARD = 2 / 3
"""By which part of its period a mailbox that came late may be refreshed earlier next time."""

_SHORT = 10.0
"""Seconds that no token lives less than; what is left of a grant may be less."""


class Failing(Protocol):
    """A row, as far as its failures so far are known."""

    refresh_failures: int
    last_refresh_error: str


def margin(lifetime: float) -> float:
    """How many seconds before its expiry a token of this lifetime should be replaced."""
    return min(app_settings().refresh_margin, lifetime / 3)


def least_validity(lifetime: float, wanted: float | None = None) -> float:
    """How many seconds a token must still live to be handed out.

    By default `MIN_VALIDITY`, at most a third of the lifetime; a caller's own wish is held to four fifths,
    because what a fresh token cannot satisfy would refresh at every call.
    """
    if wanted is None:
        return min(app_settings().min_validity, lifetime / 3)
    return min(max(wanted, 0.0), lifetime * 0.8)


def place_of_row(pk: UUID) -> float:
    """Return the place of a mailbox among all, from 0 to below 1: ever the same, and evenly spread.

    It is hashed, for a project's own UUIDs may be counted up (version 7 begins with the time).
    """
    digest = blake2b(pk.bytes, digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / 2**53


def jitter(lifetime: float) -> float:
    """How many seconds before the margin the earliest refresh of a token of this lifetime comes."""
    return min(float(app_settings().refresh_jitter), lifetime / 10)


def mean_period(lifetime: float) -> float:
    """How many seconds pass between two refreshes of a warm mailbox with tokens of this lifetime, on an average."""
    return _period(lifetime, 0.75)


def _period(lifetime: float, share: float) -> float:
    """Return the life of a token less its margin and a share of the jitter."""
    return lifetime - margin(lifetime) - share * jitter(lifetime)


def next_refresh(
    issued_at: datetime,
    expires_at: datetime,
    *,
    place: float,
    before: float | None = None,
    late: float = 0.0,
    grant_ends_at: datetime | None = None,
) -> datetime:
    """Choose when to refresh a token: never later than its expiry less the margin and, nearly always, half the jitter.

    Each mailbox has a period of its own: the life of its tokens less the margin and, by its `place` (see
    `place_of_row`), between half the jitter and all of it. And it has moments of its own, one period apart, that
    follow from its place and the calendar alone: its next refresh is at the next of them. So those of a million
    mailboxes that were connected in one minute, or that had to wait for one provider, are spread over the whole period
    at once, and each that came late is back at its moment next time. The earliest comes after half the jitter.

    `before` is the lifetime in seconds of the token that this one replaces, None for the first. Where it differs,
    lifetimes are random (Microsoft's are between 60 and 90 minutes): there are no such moments, chance spreads the load,
    and the token is used for all its own period. One that was replaced `late`, so many seconds after its expiry, is
    brought forward by its place, as much as it was late at the most. So those that an outage has gathered are spread;
    and who has a token again is not due before others have theirs, for whoever is served first was late for longest.

    Where the grant ends before the token does, it is used while it can still be renewed.
    """
    if grant_ends_at is not None and issued_at < grant_ends_at < expires_at:
        expires_at = grant_ends_at
    lifetime = (expires_at - issued_at).total_seconds()
    if lifetime <= 0:
        return issued_at
    # The digits behind those that order the mailboxes: as even, and they have nothing to do with each other.
    share = 0.5 + place * 4096 % 1 / 2
    random_lifetimes = before is not None and abs(before - lifetime) > _SAME_LIFETIME
    if random_lifetimes or lifetime < _SHORT:
        period = _period(lifetime, share)
        return issued_at + timedelta(seconds=period - place * min(late, period) * _FORWARD)
    # Within the first of it, hosts' clocks may disagree on whether this is the refresh of that very moment.
    least = jitter(lifetime) / 2 or lifetime / 200
    period = _period(_usual(lifetime), share)
    wait = least + (place * period - issued_at.timestamp() - least) % period
    return issued_at + timedelta(seconds=min(wait, lifetime - margin(lifetime)))


def _usual(lifetime: float) -> float:
    """Return the round number that a lifetime is meant to be: Google's hour has 3599 seconds, and sometimes less.

    From two that differ by a second, quite other moments would follow in a calendar.
    """
    step = 100 if lifetime >= 1000 else 10 if lifetime >= 100 else 1
    return (lifetime + min(jitter(lifetime), step) / 4) // step * step


def warns_at(begun_at: datetime, ends_at: datetime) -> datetime:
    """Return from when on a grant's end is near: `GRANT_WARNING_DAYS` before it, or a third of its life if less."""
    life = ends_at - begun_at
    return ends_at - min(timedelta(days=app_settings().grant_warning_days), life / 3)


def failures_in_a_row(row: Failing, verdict: Verdict) -> int:
    """Count a failure. What ends in somebody's attention begins anew after another fault, so that only it counts."""
    before, now = row.last_refresh_error.removesuffix(HELD_BACK), verdict.reason.removesuffix(HELD_BACK)
    if verdict.lasting is not None and before != now:
        return 1
    return row.refresh_failures + 1


def postponement(seconds: float, rng: random.Random | None = None) -> float:
    """Return how long a mailbox waits whose lane is held for `seconds`: not all come back at the same moment.

    Whom a hold has gathered come over as long a time again, at least `CIRCUIT_PAUSE` and at most `CIRCUIT_CAP`: a
    provider that has just recovered does not meet them all at once.
    """
    settings = app_settings()
    span = min(max(seconds, settings.circuit_pause), max(settings.circuit_cap, settings.circuit_pause))
    return max(seconds, 0.0) + (rng or random).uniform(1, max(span, 1))


def unreadable_pause(rng: random.Random | None = None) -> float:
    """Choose after how many seconds a mailbox is looked at again whose tokens cannot be opened.

    An operator mends that, whom no sooner look would help; and callers look for themselves.
    """
    return app_settings().backoff_cap * (rng or random).uniform(0.5, 1)


def retry_delay(
    failures: int, *, slow: bool = False, retry_after: float | None = None, rng: random.Random | None = None
) -> float:
    """Choose the pause in seconds after the `failures`-th failure in a row.

    Exponential with full jitter within the cap; slow faults wait `BACKOFF_LONG`; a provider's Retry-After is
    honoured up to that long, plus a little jitter so that not everybody returns at the same moment.
    """
    settings: Settings = app_settings()
    chance = rng or random
    if slow:
        delay = settings.backoff_long * chance.uniform(0.8, 1.2)
    else:
        ceiling = min(settings.backoff_cap, settings.backoff_base * 2 ** min(failures - 1, 20))
        delay = chance.uniform(ceiling / 2, ceiling)
    if retry_after:
        delay = max(delay, min(retry_after, settings.backoff_long) + chance.uniform(0, 5))
    return delay
