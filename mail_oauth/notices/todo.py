"""What there is to say to a user now, and what must wait: a decision about their episodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from django.utils import timezone

from mail_oauth.conf import app_settings
from mail_oauth.models import Episode, MailCredentials

STALE = timedelta(days=7)
"""What could not be mailed for so long is tried no more: the address, or the site's mail, takes nothing."""

UNSURE = 3600.0
"""How long, in seconds, to wait for a refresh that shows whether a mailbox works again."""

LOOK_AGAIN = 3600.0
"""How long, in seconds, a silent lane is waited for before it is looked at again: one may be released before its time."""


class Silence(Protocol):
    """Knows for how many seconds nobody is to be told of a mailbox (see `Holds`)."""

    def silence(self, row: MailCredentials, /) -> float:
        """Return the seconds."""


@dataclass(kw_only=True, slots=True)
class Todo:
    """Mailboxes that need somebody, those that work again, and after how many seconds to look at the rest; 0: no rest."""

    needing: list[Episode] = field(default_factory=list)
    recovered: list[Episode] = field(default_factory=list)
    seconds: float = 0.0


def todo(episodes: list[Episode], lanes: Silence, *, failing: bool = False) -> Todo:
    """Decide what to say of a user's episodes.

    Each waits until it is `NOTIFY_AFTER` old, and longer while its lane is silent. Mailboxes that fall one soon after the
    other wait for each other, for as long again at the most, so that their user gets one mail. What is `STALE` is told
    no more where mails to the user are `failing`; who was kept waiting by a lane, or by us, is told however late.
    """
    now = timezone.now()
    after = timedelta(seconds=app_settings().notify_after)
    found, waits, young = Todo(), [], False
    for episode in episodes:
        if failing and episode.recovered_at is None and now - episode.began_at > max(STALE, 2 * after):
            continue
        wait = _wait(episode, lanes, now, after)
        if wait is None:
            continue
        if wait > 0:
            waits.append(wait)
            young |= episode.recovered_at is None and now - episode.began_at < after
        else:
            (found.needing if episode.recovered_at is None else found.recovered).append(episode)
    found.seconds = min(waits, default=0.0)
    if young and all(now - each.began_at < 2 * after for each in found.needing):
        found.needing = []
    return found


def _wait(episode: Episode, lanes: Silence, now: datetime, after: timedelta) -> float | None:
    """Return for how many seconds nothing is said of an episode; None if nothing ever is."""
    row = episode.credentials
    if episode.recovered_at is not None:
        if not row.is_connected:
            return None
        if row.last_refreshed_at is None or row.last_refreshed_at < episode.began_at:
            return UNSURE  # the brake took it back, and nothing has shown yet that it works
        return _seconds(episode.recovered_at + after - now)
    if episode.told_at is not None or row.status != episode.need or not row.use_oauth:
        return None
    return max(_seconds(episode.began_at + after - now), min(lanes.silence(row), LOOK_AGAIN))


def _seconds(left: timedelta) -> float:
    return max(left.total_seconds(), 0.0)
