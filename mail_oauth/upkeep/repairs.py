"""Copies that differ from their rows are mended in batches, and at most so many in one run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence, Set
from uuid import UUID

from django.utils import timezone

from mail_oauth.cache import Header, token_cache
from mail_oauth.encryption import unseal
from mail_oauth.exceptions import SealError
from mail_oauth.managers.queryset import MailCredentialsQuerySet
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.sealing import Sealed
from mail_oauth.tokens import AccessToken
from mail_oauth.upkeep.drift import RowState

logger = logging.getLogger(__name__)

BATCH = 100
"""How many tokens are read, and written, in one round trip each."""

Difference = tuple[RowState, Header | None]
"""A row, and the header of the copy that is not its own."""


class Repairs:
    """Puts the right copies, or none, in the place of wrong ones.

    Writing compares generations in the cache, so it can be done over an older copy without further care. What
    stands in the way of that, a newer generation or a tombstone, is removed first, if it is still the one that was
    compared: a disconnect may just have left a tombstone of its own, and a refresh a good copy.
    """

    def __init__(self, rows: MailCredentialsQuerySet, *, most: int) -> None:
        """Read tokens from `rows`; try at most so many repairs, or any number with 0."""
        self.rows = rows
        self.room: float = most or float("inf")
        self.repaired = self.left = 0

    def mend(self, differences: Sequence[Difference]) -> None:
        """Mend as many as there is still room for, and count the others as `left`."""
        within = int(min(len(differences), self.room))
        self.room -= within
        self.left += len(differences) - within
        for start in range(0, within, BATCH):
            self.repaired += self._mend(differences[start : min(start + BATCH, within)])

    def _mend(self, batch: Sequence[Difference]) -> int:
        now = timezone.now()
        valid = {state.pk for state, _ in batch if state.has_valid_token(now)}
        in_the_way = {state.pk: held for state, held in batch if held and _is_in_the_way(state, held, valid)}
        gone = token_cache.forget_many(in_the_way)
        free = [state for state, _ in batch if state.pk not in in_the_way or state.pk in gone]
        refilled = self._refill({state.pk: state for state in free if state.pk in valid})
        buried = token_cache.bury_many({state.pk: state.generation for state in free if not state.usable})
        emptied = sum(state.usable and state.pk not in valid for state in free)
        return len(refilled) + len(buried) + emptied

    def _refill(self, states: Mapping[UUID, RowState]) -> set[UUID]:
        """Copy the tokens of rows; one that was changed since its state was read is left to whoever changed it."""
        rows = self.rows.filter(pk__in=states, status=Status.CONNECTED, use_oauth=True).values_list(
            "pk", "generation", "access_token"
        )
        tokens = {
            pk: _opened(states[pk], sealed)
            for pk, generation, sealed in rows
            if sealed is not None and generation == states[pk].generation
        }
        return token_cache.put_many({pk: token for pk, token in tokens.items() if token is not None})


def _is_in_the_way(state: RowState, held: Header, valid: Set[UUID]) -> bool:
    """Tell whether a copy must be gone before the right one, or none, can take its place."""
    unwanted = state.usable and state.pk not in valid
    return held.generation > state.generation or not held.expiry or unwanted


def _opened(state: RowState, sealed: Sealed) -> AccessToken | None:
    try:
        return state.token(unseal(sealed, MailCredentials.place_of(state.pk, "access_token")))
    except SealError as error:
        about = {"action": "reconcile", "mailbox": str(state.pk)}
        logger.warning("the access token of mailbox %s cannot be read: %s", state.pk, error, extra=about)
        return None
