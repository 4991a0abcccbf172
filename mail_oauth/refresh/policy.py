"""When a token is too old, and when to try again: pure functions of times and settings."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Protocol
from uuid import UUID

from mail_oauth.conf import Settings, app_settings
from mail_oauth.refresh.verdicts import HELD_BACK, Verdict


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


def next_refresh(
    issued_at: datetime,
    expires_at: datetime,
    *,
    place: float,
    first: bool = False,
    grant_ends_at: datetime | None = None,
) -> datetime:
    """Choose when to refresh a token: its expiry less the margin, and less between half the jitter and all of it.

    How much of the jitter, follows from the mailbox's `place` (see `place_of_row`) and does not change: so each
    mailbox has a period of its own, and what was refreshed at one moment drifts apart.

    The `first` token is one that continues none: of a new connection, or after an outage in which the one before
    it expired. It is refreshed at the mailbox's place in its first period, however early that is, and so the
    refreshes of a million mailboxes that were connected in one minute are spread over the whole period, and stay so.
    The earliest comes after half the jitter.

    Where the grant ends before the token does, it is used while it can still be renewed.
    """
    if grant_ends_at is not None and issued_at < grant_ends_at < expires_at:
        expires_at = grant_ends_at
    lifetime = (expires_at - issued_at).total_seconds()
    spread = jitter(lifetime)
    # The digits behind those that order the mailboxes: as even, and they have nothing to do with each other.
    own_spread = spread * (0.5 + place * 4096 % 1 / 2)
    period = lifetime - margin(lifetime) - own_spread
    return issued_at + timedelta(seconds=spread / 2 + place * period if first else period)


def mean_period(lifetime: float) -> float:
    """How many seconds pass between two refreshes of a warm mailbox with tokens of this lifetime, on an average."""
    return lifetime - margin(lifetime) - 0.75 * jitter(lifetime)


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
