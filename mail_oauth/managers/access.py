"""Getting a valid access token: near copy, cache, then row, then a refresh or the wait for somebody else's."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING
from uuid import UUID

from asgiref.sync import sync_to_async

from mail_oauth import parking
from mail_oauth.cache import MAIL, may_be_near, token_cache
from mail_oauth.conf import app_settings
from mail_oauth.exceptions import (
    CredentialsUnreadable,
    KeyMissing,
    MailboxDisconnected,
    ProviderUnavailable,
    SealError,
)
from mail_oauth.frames import keeps_locals_in
from mail_oauth.managers.app_tokens import by_shared_token
from mail_oauth.managers.background import behind, outside_transaction, own_connection_possible
from mail_oauth.managers.errors import failed, held, pausing, refused_again, unusable
from mail_oauth.managers.readability import turn_readable
from mail_oauth.managers.resources import other_resource_token, resource_token
from mail_oauth.managers.transitions import Transitions, after_commit, only_test_transactions
from mail_oauth.managers.vocabulary import Access, Status
from mail_oauth.metrics import READS
from mail_oauth.near import Look, near_copies
from mail_oauth.refresh.engine import Outcome, refresh
from mail_oauth.refresh.policy import least_validity, margin
from mail_oauth.signals import value_refused
from mail_oauth.tokens import AccessToken, Secret
from mail_oauth.usage import uses

if TYPE_CHECKING:
    from mail_oauth.managers import MailCredentialsManager
    from mail_oauth.managers.queryset import MailCredentialsQuerySet
    from mail_oauth.models import MailCredentials

_POLL_SECONDS = (0.02, 0.05, 0.1, 0.25)


def nearby(pk: UUID, min_validity: float | None, resource: str) -> AccessToken | None:
    """Return the token that this process gave out a moment ago, if it will do; it needs no refresh yet."""
    token = near_copies.get(pk) if resource == MAIL else None
    if token is None or min_validity is None or _lives_long_enough(token, min_validity):
        return token
    return None


def _lives_long_enough(token: AccessToken, min_validity: float | None) -> bool:
    return token.seconds_left() >= least_validity(token.lifetime, min_validity)


class TokenAccess:
    """Access tokens of the mailboxes of one manager. A token that is cached needs none of its parts."""

    def __init__(self, manager: MailCredentialsManager) -> None:
        """Read and write on the primary: a replica may lag behind a rotation."""
        self.manager = manager

    @cached_property
    def using(self) -> str:
        """The alias of that database."""
        return self.manager.write_alias()

    @cached_property
    def rows(self) -> MailCredentialsQuerySet:
        """Mailboxes, as they are there."""
        rows: MailCredentialsQuerySet = self.manager.using(self.using)
        return rows

    @cached_property
    def ledger(self) -> Transitions:
        """Where refreshes are written."""
        return Transitions(self.manager)

    def get(self, pk: UUID, *, min_validity: float | None = None, resource: str = MAIL) -> AccessToken:
        """Return a valid token: from the cache, else from the row, else by a refresh."""
        if resource != MAIL:
            return resource_token(self, pk, resource, min_validity)
        look = near_copies.look(pk) if may_be_near() else None
        cached = token_cache.get(pk)
        if cached is not None and self._will_do(pk, cached, min_validity, look):
            uses.note(pk)
            READS.add(source="cache")
            return cached
        row = self._row(pk)
        uses.note(pk)
        if row.access == Access.SHARED:
            return by_shared_token(self.ledger, row, lambda app: self._of_app(app, min_validity))
        token = self._stored(row)
        if not only_test_transactions(self.using):
            look = None  # what a caller's own transaction sees may never be committed, or be long out of date
        if token is not None and self._will_do(pk, token, min_validity, look):
            after_commit(self.using, lambda: token_cache.put(pk, token))
            READS.add(source="row")
            return token
        fresh = outside_transaction(self.using, lambda: self._refresh_or_wait(row, min_validity))
        READS.add(source="refresh")
        return fresh

    def refresh(self, pk: UUID) -> AccessToken:
        """Refresh whatever the token's age, or wait for the one who does. Raises a `MailboxError`."""
        return outside_transaction(
            self.using, lambda: self._with_its_token(pk, lambda row: self._refresh_or_wait(row, None, force=True))
        )

    @keeps_locals_in
    def report_rejected(self, pk: UUID, rejected: Secret, *, resource: str = MAIL) -> AccessToken:
        """Return another token than one that a mail server refused before its end.

        The token that replaced it, or is about to, where somebody refreshes already; else from a refresh, of which
        there is one within `REJECTION_INTERVAL`. Raises a `MailboxError`, and `TypeError` for a plain string: it
        would differ from every token.
        """
        if not isinstance(rejected, Secret):
            raise TypeError("report_rejected() takes the token that get_access_token() returned, not its text.")
        if resource != MAIL:
            return other_resource_token(self, pk, resource, rejected)
        near_copies.drop(pk)
        uses.note(pk)
        return outside_transaction(
            self.using, lambda: self._with_its_token(pk, lambda row: self._replace(row, rejected))
        )

    @keeps_locals_in
    async def areport_rejected(self, pk: UUID, rejected: Secret, *, resource: str = MAIL) -> AccessToken:
        """`report_rejected`, awaited."""
        return await sync_to_async(self.report_rejected)(pk, rejected, resource=resource)

    async def aget(self, pk: UUID, *, min_validity: float | None = None, resource: str = MAIL) -> AccessToken:
        """`get`, awaited."""
        return await sync_to_async(self.get)(pk, min_validity=min_validity, resource=resource)

    async def arefresh(self, pk: UUID) -> AccessToken:
        """`refresh`, awaited."""
        return await sync_to_async(self.refresh)(pk)

    def _with_its_token(self, pk: UUID, use: Callable[[MailCredentials], AccessToken]) -> AccessToken:
        """Do something with the row that has a mailbox's token: its own, or the app's."""
        row = self._row(pk)
        if row.access == Access.SHARED:
            return by_shared_token(self.ledger, row, lambda app: use(self._row(app)))
        return use(row)

    def _of_app(self, pk: UUID, min_validity: float | None) -> AccessToken:
        """Return the token that an app has for all its mailboxes."""
        near = nearby(pk, min_validity, MAIL)
        return self.get(pk, min_validity=min_validity) if near is None else near

    def _row(self, pk: UUID) -> MailCredentials:
        """Return a row as it is; one that was unreadable and opens again has been connected again."""
        row = self.rows.get(pk=pk)
        if row.status != Status.UNREADABLE or not only_test_transactions(self.using):
            return row
        return row if turn_readable(self.ledger, row) else self.rows.get(pk=pk)

    def _stored(self, row: MailCredentials) -> AccessToken | None:
        """Return the row's token, of any age; None when it cannot be read, which a refresh may mend.

        Where the refresh token is what cannot be read, the token is good while it lives.
        """
        error = unusable(row)
        if error is not None and not isinstance(error, CredentialsUnreadable):
            raise error
        token = self._opened(row)
        if error is not None and (token is None or not _lives_long_enough(token, None)):
            raise error
        return token

    def _opened(self, row: MailCredentials) -> AccessToken | None:
        try:
            return row.open_access_token()
        except KeyMissing:
            return None
        except SealError as refused:
            value_refused.send_robust(type(row), mailbox=row.pk, where="access_token", cause=refused.code)
            return None

    def _will_do(self, pk: UUID, token: AccessToken, min_validity: float | None, look: Look | None) -> bool:
        """Tell whether a token lives long enough; if so, see to the next caller.

        It is kept near until it enters its margin, and from then on is refreshed behind the caller.
        """
        left, lifetime = token.seconds_left(), token.lifetime
        if left < least_validity(lifetime, min_validity):
            return False
        spare = left - margin(lifetime)
        if spare < 0:
            self._keep_fresh(pk)
        elif look is not None:
            near_copies.keep(pk, token, look, min(spare, left - least_validity(lifetime)))
        return True

    def _ages(self, token: AccessToken) -> bool:
        return token.seconds_left() < margin(token.lifetime)

    def _keep_fresh(self, pk: UUID) -> None:
        """Have a token inside its margin refreshed behind the caller, or by the next sweep."""
        if behind.tried_lately(pk):
            return
        if own_connection_possible(self.using) and behind.submit(pk, lambda: self._refresh_behind(pk)):
            return
        if only_test_transactions(self.using):
            self.rows.nudge(pk)

    def _refresh_behind(self, pk: UUID) -> None:
        """Refresh, unless another process did so since the caller's copy was cached."""
        row = self.rows.filter(pk=pk).first()
        if row is None or unusable(row) is not None:
            return
        token = self._stored(row)
        if token is not None and not self._ages(token):
            token_cache.put(pk, token)
            return
        if self.ledger.lanes.holding(row) is not None:
            return  # the token lives on, and a sweep will try the lane
        claimed = self.rows.claim(pk, generation=row.generation, used=True)
        if claimed is not None:
            refresh(claimed, self.ledger)

    def _refresh_or_wait(
        self, seen: MailCredentials, min_validity: float | None, *, force: bool = False
    ) -> AccessToken:
        """Refresh the row that the caller has seen, or take the token that replaced its token since."""
        give_up_at = time.monotonic() + app_settings().wait_timeout
        row = seen = self._row(seen.pk) if seen.status == Status.UNREADABLE else seen
        error = unusable(row)
        if error is not None and not force:
            raise error
        for attempt in itertools.count():
            self._spare_a_held_lane(row, force)
            claimed = self.rows.claim(row.pk, generation=row.generation, force=force, used=True)
            if claimed is not None:
                return self._settle(claimed, refresh(claimed, self.ledger, min_validity=min_validity, force=force))
            row = self.rows.get(pk=row.pk)
            token = self._stored(row)
            replaced = row.token_issued_at != seen.token_issued_at
            if token is not None and (replaced or (not force and _lives_long_enough(token, min_validity))):
                token_cache.put(row.pk, token)
                return token
            error = pausing(row)
            if error is not None:
                raise error
            if time.monotonic() > give_up_at:
                break
            time.sleep(_POLL_SECONDS[min(attempt, len(_POLL_SECONDS) - 1)])
        raise ProviderUnavailable("Another worker is still refreshing this mailbox.", reason="wait_timeout")

    def _spare_a_held_lane(self, row: MailCredentials, force: bool) -> None:
        """Raise `ProviderUnavailable` for a mailbox whose calls are held, without a lease for nothing."""
        if force or row.lease_owner:
            return
        hold = self.ledger.lanes.holding(row)
        if hold is not None and not parking.waiting_as_far_as_known([row.pk]):
            raise held(row, hold)

    def _replace(self, row: MailCredentials, rejected: Secret) -> AccessToken:
        give_up_at = time.monotonic() + app_settings().wait_timeout
        pk = row.pk
        near_copies.drop(pk)  # the app's, where the mailbox has no token of its own
        for attempt in itertools.count():
            token = self._stored(row)
            if token is not None and token != rejected and _lives_long_enough(token, None):
                token_cache.put(pk, token)
                return token
            claimed = self.rows.claim(pk, generation=row.generation, force=True, rejected=True, used=True)
            if claimed is not None:
                outcome = refresh(claimed, self.ledger)
                if outcome.held:  # nothing was tried: the next report may try
                    self.rows.filter(pk=pk, generation=claimed.generation).update(rejected_at=None)
                return self._settle(claimed, outcome)
            seen, row = row, self.rows.get(pk=pk)
            idle = not row.lease_owner and row.generation == seen.generation
            if idle or time.monotonic() > give_up_at:
                break
            time.sleep(_POLL_SECONDS[min(attempt, len(_POLL_SECONDS) - 1)])
        raise pausing(row) or refused_again(row)

    def _settle(self, row: MailCredentials, outcome: Outcome) -> AccessToken:
        """Return the token of a refresh, or raise what its verdict means for the caller."""
        if outcome.token is not None:
            return outcome.token
        current = self.rows.filter(pk=row.pk).first()
        if current is None:
            raise MailboxDisconnected(f"{row} was deleted while it was refreshed.", reason="deleted")
        token = self._stored(current)
        if token is not None and current.token_issued_at != row.token_issued_at:
            return token  # the claim was lost to somebody who has saved since; our own verdict is void
        raise unusable(current) or pausing(current) or failed(row, outcome.verdict.reason, outcome.retry_in)
