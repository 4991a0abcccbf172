"""Warning of grants that end soon, whether their providers say so or it is estimated."""

from __future__ import annotations

import logging
from datetime import datetime

from mail_oauth.managers.queryset import REFRESHABLE
from mail_oauth.managers.transitions import Transitions
from mail_oauth.refresh.policy import warns_at
from mail_oauth.upkeep.drift import RowState

logger = logging.getLogger(__name__)


def ends_soon(state: RowState, now: datetime) -> bool:
    """Tell whether the end of a grant is near, and nobody was told so far."""
    ends_at = state.refresh_token_expires_at
    if ends_at is None or state.connected_at is None or state.grant_warned_at is not None:
        return False
    return state.status in REFRESHABLE and now >= warns_at(state.connected_at, ends_at)


def warn(state: RowState, transitions: Transitions, now: datetime) -> bool:
    """Send `grant_ending` for a mailbox; False when another worker has, or the grant has been renewed."""
    rows = transitions.manager.using(transitions.using)
    told = rows.filter(pk=state.pk, grant_warned_at__isnull=True)
    if not told.filter(refresh_token_expires_at=state.refresh_token_expires_at).update(grant_warned_at=now):
        return False
    row = rows.get(pk=state.pk)
    logger.warning(
        "the grant of mailbox %s ends soon", row.pk, extra={"action": "horizon", "mailbox": str(row.pk)}
    )
    transitions.announce_ending(row)
    return True
