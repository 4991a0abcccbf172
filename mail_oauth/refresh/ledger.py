"""The protocols by which a refresh knows rows, and where it writes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from mail_oauth.refresh.lanes import Admission, Brake
from mail_oauth.refresh.verdicts import Verdict
from mail_oauth.tokens import AccessToken, Secret, TokenSet


class Grant(Protocol):
    """A claimed row, as far as a refresh needs it."""

    pk: UUID
    provider: str
    tenant: str
    generation: int
    refresh_failures: int
    last_refresh_error: str
    outcome_unknown: bool
    requested_scopes: str
    email: str

    @property
    def is_app_only(self) -> bool:
        """Whether it is opened by the app's own access, without a refresh token."""

    def open_refresh_token(self) -> Secret:
        """Decrypt the refresh token. Raises `SealError`."""


class Lanes(Protocol):
    """What is known of the provider by the failures of others."""

    def admit(self, row: Grant, *, force: bool = False) -> Admission:
        """Say whether a call may be made for a mailbox, and for which holds it is the trial."""

    def learn(self, row: Grant, verdict: Verdict, admission: Admission) -> None:
        """Draw the conclusions for others from a verdict that is saved. Raises nothing."""

    def brake(self, row: Grant, verdict: Verdict) -> Brake | None:
        """Return the brake under which a refused grant is not reported yet. Raises nothing."""

    def braking(self, row: Grant) -> bool:
        """Tell whether a brake is in force for a mailbox. Raises nothing."""


class Ledger(Protocol):
    """Where the outcome of a refresh is written; every write is refused if the claim was lost."""

    @property
    def lanes(self) -> Lanes:
        """The lanes of the providers."""

    def postpone(self, grant: Grant, seconds: float) -> None:
        """Release a claim under which nothing was tried, until some seconds from now."""

    def reinstate(self, pk: UUID, reason: str, seconds: float) -> None:
        """Take back that a user was told to reconnect, within the last minutes: it is tried again then."""

    def save_tokens(
        self, grant: Grant, tokens: TokenSet, received_at: datetime | None = None, *, reason: str = ""
    ) -> AccessToken | None:
        """Save a pair, received now unless told, release the claim and publish the token; None if it was lost."""

    def keep_refresh_token(self, grant: Grant, tokens: TokenSet, received_at: datetime, *, reason: str) -> bool:
        """Save the refresh token of a pair alone and go on holding the claim; False if it was lost."""

    def save_unreadable(self, grant: Grant, cause: str, seconds: float) -> bool:
        """Say, once, that the tokens of a row cannot be opened, and release the claim for some seconds.

        What is stored stays as it is. `cause` is the `code` of a `SealError`.
        """

    def save_failure(self, grant: Grant, verdict: Verdict, retry_in: timedelta | None) -> bool:
        """Save what went wrong, and a rotated refresh token if there is one; release the claim."""
