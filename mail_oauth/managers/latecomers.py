"""What a refresh brought after its row had moved: it is saved to the same grant, or put away, and never dropped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from django.utils import timezone

from mail_oauth.managers.grants import has_same_refresh_token, is_same_grant
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.refresh.adoption import park
from mail_oauth.tokens import TokenSet

if TYPE_CHECKING:
    from mail_oauth.managers.transitions import Transitions
    from mail_oauth.models import MailCredentials

INSISTENCE = 20
"""How often what must not be lost, a person's decision or a grant's last token, is tried against changes by others."""


def save_late(
    transitions: Transitions,
    grant: MailCredentials,
    tokens: TokenSet | None,
    received_at: datetime,
    save: Callable[[MailCredentials], bool],
) -> MailCredentials | None:
    """Save what came for `grant`, as it was claimed, to the row as it is by now; return that row.

    `save` writes to a row that is still the same grant, and returns False when it was changed once more. None where
    nothing was saved: then the refresh token among `tokens`, None if none came, is put away as far as it is needed.
    """
    current = transitions.now(grant)
    for _ in range(INSISTENCE):
        if current is None:
            return None
        if is_same_grant(current, grant):
            if save(current):
                return current
        elif _leave(transitions, current, grant, tokens, received_at):
            return None
        current = transitions.now(grant)
    if current is not None:
        _leave(transitions, current, grant, tokens, received_at)
    return None


def _leave(
    transitions: Transitions,
    row: MailCredentials,
    grant: MailCredentials,
    tokens: TokenSet | None,
    received_at: datetime,
) -> bool:
    """Put away what came too late to be saved, where it is the last of a grant that somebody still needs.

    For a mailbox that was disconnected meanwhile the sweep revokes it: what the disconnect revoked was the
    token before it, and a provider may have ended only that one. Where another worker holds the lease, with the
    token that this pair replaced, the pair is parked for whoever comes after it. False when the row was changed
    meanwhile, and must be looked at again.
    """
    if tokens is None or tokens.refresh_token is None:
        return True
    if row.status == Status.DISCONNECTED:
        changes = {"refresh_token": row.sealed("refresh_token", tokens.refresh_token), "refresh_failures": 0}
        changes |= {"refresh_at": timezone.now(), "lease_owner": ""}
        return transitions.apply(row, EventKind.REVOCATION_FAILED, changes, reason="rotated_meanwhile")
    if has_same_refresh_token(row, grant):
        park(row, tokens, received_at)
    return True
