"""What became of one entry of a source."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from mail_oauth.moving.entries import shown


class Outcome(StrEnum):
    """What became of an entry, in words for people."""

    IMPORTED = "imported"
    UPDATED = "updated: the one here was older"
    HERE = "already here, and no older"
    DISCONNECTED = "left alone: it was disconnected here"
    ERASED = "left alone: it was erased here"
    NO_REFRESH_TOKEN = "no refresh token"  # noqa: S105  # words
    WRONG_SCOPES = "wrong scopes"
    OTHER_CLIENT = "of another client id"
    UNKNOWN_USER = "unknown user"
    UNKNOWN_PROVIDER = "unknown provider"
    MISCONFIGURED = "its provider is misconfigured here"
    NO_ADDRESS = "no address"
    ANOTHER_ACCOUNT = "the address is another account's here"
    HELD_BY_ANOTHER = "held by another user"
    UNREADABLE = "unreadable"
    REFUSED = "refused by the database"

    @property
    def is_well(self) -> bool:
        """Whether nobody need look at it."""
        return self in {Outcome.IMPORTED, Outcome.UPDATED, Outcome.HERE, Outcome.DISCONNECTED, Outcome.ERASED}


class Proof(StrEnum):
    """What a refresh said of an imported grant."""

    NONE = ""
    """None was tried, or wanted."""
    PROVEN = "proven"
    FAILED = "failed"
    UNTRIED = "untried"
    """Calls of its provider are held, or the brake is pulled: verify again later."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """The outcome of one entry. It holds codes and names, no secret. `reason` says more of some outcomes.

    `unproven`: its grant was imported, and never refreshed here so far. `ails`: what is wrong with the mailbox that is here,
    which a look at its source does not mend. `proof_reason` is the code of a failure.
    """

    where: str
    outcome: Outcome
    reason: str = ""
    provider: str = ""
    user: str = ""
    email: str = ""
    mailbox: UUID | None = None
    unproven: bool = False
    ails: str = ""
    proof: Proof = Proof.NONE
    proof_reason: str = ""

    @property
    def is_well(self) -> bool:
        """Whether nobody need look at it."""
        return self.outcome.is_well and self.proof in {Proof.NONE, Proof.PROVEN}

    def as_data(self) -> dict[str, Any]:
        """Return it for a report, in which each line is one."""
        told = {name: value for name, value in asdict(self).items() if name not in {"unproven", "ails"}}
        mailbox = self.mailbox and str(self.mailbox)
        return told | {"outcome": self.outcome.name.lower(), "user": shown(self.user), "mailbox": mailbox}
