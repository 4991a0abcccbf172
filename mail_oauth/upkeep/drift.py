"""How a cached copy may differ from its row: pure comparison of the two, without a token."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from mail_oauth.cache import Header
from mail_oauth.managers.vocabulary import Status
from mail_oauth.refresh.policy import least_validity
from mail_oauth.tokens import AccessToken, Secret


class Drift(StrEnum):
    """What is wrong with a copy."""

    ABSENT = "absent"
    """Nothing stands there, although the row has a valid token (Redis was flushed, or evicted it)."""
    OLDER = "older"
    """Of an older generation than the row's (the cache was away when the row was saved)."""
    NEWER = "newer"
    """Of a generation that the row never had (the database was restored from a backup)."""
    OTHER = "other"
    """Of the row's own generation, but another token: a restored database has counted up to it again."""
    BURIED = "buried"
    """A tombstone under a row that works."""
    UNUSABLE = "unusable"
    """A token under a row that cannot be used."""
    EXPIRED = "expired"
    """A token past its expiry that the cache did not drop."""


@dataclass(frozen=True, slots=True)
class RowState:
    """What a comparison needs of a row; its tokens stay in the database."""

    pk: UUID
    generation: int
    status: str
    use_oauth: bool
    token_expiry: datetime | None
    token_issued_at: datetime | None

    @property
    def usable(self) -> bool:
        """Whether the mailbox may have a copy at all."""
        return self.status == Status.CONNECTED and self.use_oauth

    def has_valid_token(self, now: datetime) -> bool:
        """Whether a caller would be given the row's token at `now`."""
        if not self.usable or self.token_expiry is None or self.token_issued_at is None:
            return False
        lifetime = (self.token_expiry - self.token_issued_at).total_seconds()
        return (self.token_expiry - now).total_seconds() > max(least_validity(lifetime), 0)

    def token(self, secret: Secret) -> AccessToken | None:
        """Return the row's access token, which is `secret`; None for a row without a token's times."""
        if self.token_expiry is None or self.token_issued_at is None:
            return None
        times = {"issued_at": self.token_issued_at, "expires_at": self.token_expiry}
        return AccessToken(secret.reveal(), **times, generation=self.generation)

    def describes(self, header: Header) -> bool:
        """Whether a copy with this header is of the row's own token; headers count whole seconds."""
        if self.token_expiry is None or self.token_issued_at is None:
            return False
        times = int(self.token_issued_at.timestamp()), int(self.token_expiry.timestamp())
        return (header.issued, header.expiry) == times


COLUMNS = tuple(column.name for column in fields(RowState))
"""What `RowState` takes, in its order."""


def drift(row: RowState, held: Header | None, now: datetime) -> Drift | None:
    """Compare a row with the header of its copy; None when they agree.

    A tombstone is right under a row that cannot be used, and an absent copy is no drift where the row has no
    valid token to copy.
    """
    if held is None or not held.expiry:
        cause = Drift.ABSENT if held is None else Drift.BURIED
        return cause if row.has_valid_token(now) else None
    verdicts = (
        (held.generation > row.generation, Drift.NEWER),
        (not row.usable, Drift.UNUSABLE),
        (held.expiry <= now.timestamp(), Drift.EXPIRED),
        (held.generation < row.generation, Drift.OLDER),
        (not row.describes(held), Drift.OTHER),
    )
    return next((cause for wrong, cause in verdicts if wrong), None)
