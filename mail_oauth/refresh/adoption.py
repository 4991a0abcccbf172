"""Which parked pair a claimed row may adopt, and the record of one that had to be parked."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING

from mail_oauth import parking
from mail_oauth.exceptions import KeyMissing, SealError
from mail_oauth.parking import ParkedPair
from mail_oauth.signals import value_refused
from mail_oauth.tokens import TokenSet

if TYPE_CHECKING:
    from mail_oauth.refresh.ledger import Grant

logger = logging.getLogger(__name__)


def park(grant: Grant, tokens: TokenSet, received_at: datetime) -> None:
    """Put a pair away that could not be saved for `grant`, and say whether that worked."""
    pair = ParkedPair.of(grant.generation, grant.open_refresh_token(), tokens, received_at)
    kept = parking.park(grant.pk, pair)
    logger.error(
        "the new tokens of mailbox %s could not be saved: %s",
        grant.pk,
        "parked in the cache for the next attempt" if kept else "lost, for the cache failed as well",
        extra=_about(grant, "parked" if kept else "lost"),
    )


def parked_for(grant: Grant, *, look_only: bool = False) -> ParkedPair | None:
    """Return the pair that `grant` should adopt before any call of its provider.

    What is poisoned or stale is removed, unless with `look_only`. A cache that cannot be asked has nothing.
    """
    try:
        pair = parking.parked(grant.pk)
    except KeyMissing as error:  # it stays: a host that has the key can still adopt it
        logger.error("what is parked for mailbox %s: %s", grant.pk, error, extra=_about(grant, "unreadable"))
        return None
    except SealError as error:
        _refuse(grant, None, f"refused: {error}", look_only)
        if not look_only:
            value_refused.send_robust(ParkedPair, mailbox=grant.pk, where="parked", cause=error.code)
        return None
    if pair is None:
        return None
    try:
        continues = pair.continues(grant.generation, grant.open_refresh_token())
    except SealError:
        return None  # whose turn it is shows when the row's key is back; until then it stays
    if not continues:
        _refuse(grant, pair, "stale: the mailbox has been changed since", look_only)
        return None
    return pair


def _refuse(grant: Grant, pair: ParkedPair | None, why: str, look_only: bool) -> None:
    if look_only:
        return
    logger.warning("what was parked for mailbox %s is %s", grant.pk, why, extra=_about(grant, "refused"))
    parking.discard(grant.pk, pair)


def _about(grant: Grant, outcome: str) -> dict[str, object]:
    return {
        "action": "parking",
        "mailbox": str(grant.pk),
        "provider": grant.provider,
        "outcome": outcome,
        "generation": grant.generation,
    }
