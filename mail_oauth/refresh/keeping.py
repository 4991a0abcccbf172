"""Which mailboxes are kept warm, and when each is refreshed next: pure functions of times and settings.

A *warm* mailbox always has a valid token. An *idle* one is refreshed when its token is asked for, and else just often
enough that its grant lives on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from mail_oauth.choices import Policy
from mail_oauth.conf import app_settings
from mail_oauth.refresh.policy import next_refresh, warns_at

_EARLIEST, _LATEST = 0.7, 0.95
"""Between which parts of the longest time allowed idle mailboxes are touched: not all at once, and none too late."""

_CENTURY = 36_525
"""More days than that are as good as for ever, and calendars end."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Keeping:
    """What the next refresh of a mailbox depends on. `place` is `place_of_row`'s."""

    place: float
    policy: Policy
    connected_at: datetime
    used_at: datetime | None
    """When somebody asked for its token last, as far as is known."""
    issued_at: datetime
    expires_at: datetime
    before: float | None = None
    """The lifetime of the token before (see `next_refresh`)."""
    late: float = 0.0
    """How many seconds that one had been expired."""
    grant_ends_at: datetime | None = None


def recently(now: datetime) -> datetime:
    """Return since when a use, or the connection, counts as recent."""
    return now - _days(app_settings().recent_use_days)


def longest_idle() -> timedelta:
    """Return for how long an idle mailbox is left alone at the most."""
    return _days(app_settings().keep_alive_days)


def keeps_warm(policy: Policy, now: datetime, *, connected_at: datetime | None, used_at: datetime | None) -> bool:
    """Tell whether a mailbox is to have a valid token at all times."""
    if policy is Policy.RECENTLY_USED:
        return any(moment is not None and moment >= recently(now) for moment in (connected_at, used_at))
    return policy is Policy.ALWAYS


def due_at(keeping: Keeping, now: datetime) -> datetime:
    """Return when a mailbox is refreshed next.

    An idle one is touched after `KEEP_ALIVE_DAYS` or two thirds of what its grant has still to live, whichever
    is earlier, and before `grant_ending` would be sent; but never more often than a warm one.
    """
    warm = keeps_warm(keeping.policy, now, connected_at=keeping.connected_at, used_at=keeping.used_at)
    replaced_at = next_refresh(
        keeping.issued_at,
        keeping.expires_at,
        place=keeping.place,
        before=keeping.before,
        late=keeping.late,
        grant_ends_at=keeping.grant_ends_at,
    )
    return replaced_at if warm else max(replaced_at, _touched_at(keeping))


def _touched_at(keeping: Keeping) -> datetime:
    since, ends_at = keeping.issued_at, keeping.grant_ends_at
    limits = [since + longest_idle()]
    if ends_at is not None:
        limits += [since + (ends_at - since) * 2 / 3, warns_at(keeping.connected_at, ends_at)]
    # What lies behind says nothing: an end that was estimated wrong, or one that no refresh moves.
    longest = min(limit for limit in limits if limit >= since) - since
    return since + longest * (_EARLIEST + (_LATEST - _EARLIEST) * keeping.place)


def _days(number: float) -> timedelta:
    return timedelta(days=min(number, _CENTURY))


def patience() -> timedelta:
    """Return how far behind its time a mailbox may be scheduled for other reasons than its policy: pauses, holds."""
    settings = app_settings()
    return timedelta(seconds=max(settings.backoff_long, 2 * settings.circuit_cap))


def is_scheduled_too_late(refresh_at: datetime, keeping: Keeping, now: datetime) -> bool:
    """Tell whether a mailbox that waits for nothing else is scheduled by a policy that no longer holds."""
    return refresh_at > max(due_at(keeping, now), now) + patience()


def brought_forward(keeping: Keeping, now: datetime) -> datetime:
    """Return when such a mailbox is refreshed instead: not all at once, though their tokens have expired.

    Those then come in whole minutes, so that many can be moved together; from then on each has its own moment.
    """
    due = due_at(keeping, now)
    if due > now:
        return due
    within = min(keeping.expires_at - keeping.issued_at, patience())
    return next_refresh(now, now + within, place=keeping.place).replace(second=0, microsecond=0)
