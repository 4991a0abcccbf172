"""The one way by which a mailbox changes: compare-and-swap, an event, then signals and the cache."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import IntegrityError, OperationalError, connections, transaction
from django.dispatch import Signal
from django.utils import timezone

from mail_oauth import parking, signals
from mail_oauth.cache import token_cache
from mail_oauth.conf import app_settings
from mail_oauth.managers.columns import name_status, pair_changes, refresh_token_changes, rotated, written
from mail_oauth.managers.episodes import follow
from mail_oauth.managers.groups import GroupCommit, Save
from mail_oauth.managers.lanes import Lanes
from mail_oauth.managers.latecomers import INSISTENCE, save_late
from mail_oauth.managers.readability import turn_unreadable
from mail_oauth.managers.records import is_told
from mail_oauth.managers.vocabulary import Access, EventKind, Status
from mail_oauth.metrics import STATUS_CHANGES
from mail_oauth.refresh.classification import Action
from mail_oauth.refresh.policy import failures_in_a_row, postponement
from mail_oauth.refresh.verdicts import Verdict
from mail_oauth.tokens import AccessToken, TokenSet

if TYPE_CHECKING:
    from mail_oauth.managers import MailCredentialsManager
    from mail_oauth.models import MailCredentials

logger = logging.getLogger(__name__)

_DEMOTIONS = {
    Action.REAUTH: Status.NEEDS_REAUTH,
    Action.ADMIN: Status.NEEDS_ADMIN,
    Action.UNKNOWN: Status.NEEDS_ATTENTION,
}
_ENDS_OF_A_GRANT = {EventKind.RECONNECTED, EventKind.REPLACED, EventKind.DISCONNECTED}
_OF_MAILBOXES = {EventKind.CONNECTED, EventKind.RECONNECTED, EventKind.DISCONNECTED}
"""What nobody hears of that befalls an app's own token."""
_SIGNALS: dict[EventKind, Signal] = {
    EventKind.CONNECTED: signals.mailbox_connected,
    EventKind.RECONNECTED: signals.mailbox_connected,
    EventKind.REPLACED: signals.mailbox_connected,
    EventKind.IMPORTED: signals.mailbox_connected,
    EventKind.REFRESHED: signals.token_refreshed,
    EventKind.RECOVERED: signals.token_refreshed,
    EventKind.DISCONNECTED: signals.mailbox_disconnected,
}


def only_test_transactions(using: str) -> bool:
    """Tell whether the open transaction blocks are a test case's wrappers alone (as `durable` does)."""
    return all(getattr(block, "_from_testcase", False) for block in connections[using].atomic_blocks)


def after_commit(using: str, action: Callable[[], Any]) -> None:
    """Run `action` once the caller's transaction is committed; at once under a test case's wrapper."""
    if only_test_transactions(using):
        action()
    else:
        transaction.on_commit(action, using=using, robust=True)


class Transitions:
    """Writes to rows through one manager; the `Ledger` of the refresh engine."""

    def __init__(
        self, manager: MailCredentialsManager, group: GroupCommit | None = None, *, prepaid: bool = False
    ) -> None:
        """Write through `manager`, to the database that its router names for writing.

        With `group`, refreshed pairs are saved together with those of other threads, where that can be done.
        `prepaid`: see `Lanes`.
        """
        self.manager = manager
        self.using = manager.write_alias()
        self.lanes = Lanes(manager, prepaid=prepaid)
        self.group = group

    def apply(
        self,
        row: MailCredentials,
        kind: EventKind,
        changes: dict[str, Any],
        *,
        reason: str = "",
        actor: Any = None,
        leased: bool = False,
    ) -> bool:
        """Change `row` if its generation (and lease, with `leased`) is still the one that was read.

        Raises the generation, records one event, and once committed publishes to the cache and sends the
        signals. On False nothing was changed, and the row in hand is out of date.
        """
        old_status = row.status
        with transaction.atomic(using=self.using):
            if not self.swap(row, changes, leased=leased):
                return False
            self.record(row, kind, reason=reason, generation=row.generation + 1, actor=actor)
            follow(self.using, row, kind, changes["status"])
        self.applied(row, kind, changes, reason, old_status)
        return True

    def swap(self, row: MailCredentials, changes: dict[str, Any], *, leased: bool = False) -> bool:
        """Write `changes`, which get the next generation, under the conditions of `apply`; the row in hand stays as it is."""
        name_status(row, changes)
        changes["generation"] = row.generation + 1
        guard = {"lease_owner": row.lease_owner} if leased else {}
        rows = self.manager.using(self.using).filter(pk=row.pk, generation=row.generation, **guard)
        return bool(rows.update(**written(changes)))

    def applied(
        self, row: MailCredentials, kind: EventKind, changes: dict[str, Any], reason: str, old_status: str
    ) -> None:
        """Bring the row in hand up to date with what was saved of it, and tell."""
        for name, value in changes.items():
            setattr(row, name, value)
        after_commit(self.using, lambda: self.announce(row, kind, reason, old_status))

    def create(
        self, row: MailCredentials, *, actor: Any = None, unless: Callable[[], bool] = lambda: False
    ) -> MailCredentials:
        """Store a new mailbox.

        Raises `IntegrityError` when the same one stands there already, or `unless` says so in the same transaction.
        """
        with transaction.atomic(using=self.using):
            if unless():
                raise IntegrityError("The mailbox came by another way at this moment.")
            row.save(using=self.using, force_insert=True)
            self.manager.using(self.using).filter(pk=row.pk).update(**written({"refresh_at": row.refresh_at}))
            self.record(row, EventKind.CONNECTED, generation=row.generation, actor=actor or row.user)
        after_commit(self.using, lambda: self.announce(row, EventKind.CONNECTED, "", row.status))
        return row

    def insist(
        self, pk: UUID, kind: EventKind, changes_of: Callable[[MailCredentials], dict[str, Any]], **how: Any
    ) -> MailCredentials:
        """Apply what a person decided, whatever a refresh changes meanwhile; return the row as it is then.

        `changes_of` makes the changes from the row as last read; `how` goes to `apply`. Raises
        `MailCredentials.DoesNotExist` when the row is gone.
        """
        for _ in range(INSISTENCE):
            row: MailCredentials = self.manager.using(self.using).get(pk=pk)
            if self.apply(row, kind, changes_of(row), **how):
                return row
        raise OperationalError(f"Mailbox {pk} is changed by others all the time.")

    def record(
        self,
        row: MailCredentials,
        kind: EventKind,
        *,
        reason: str = "",
        generation: int,
        actor: Any = None,
        note: str = "",
    ) -> None:
        """Write an event to the history of a mailbox; `note` is what whoever did it gave as a reason."""
        if not is_told(kind, reason):
            return
        events = row.events.model._default_manager.using(self.using)
        about = {"reason": reason[:64], "generation": generation, "actor": actor, "note": note}
        events.create(credentials_id=row.pk, kind=kind, **about)

    def save_tokens(
        self, grant: Any, tokens: TokenSet, received_at: datetime | None = None, *, reason: str = ""
    ) -> AccessToken | None:
        """Save a refreshed pair, release the lease and publish the token; see `Ledger`."""
        received = received_at or timezone.now()
        if not self._save_pair(grant, tokens, received, reason):
            grant = save_late(
                self, grant, tokens, received, lambda current: self._save_pair(current, tokens, received, reason)
            )
            if grant is None:
                return None
        return _token(grant, tokens) if grant.use_oauth else None

    def _save_pair(self, grant: MailCredentials, tokens: TokenSet, received_at: datetime, reason: str) -> bool:
        kind, changes = pair_changes(grant, tokens, received_at, reason)
        if self.group is not None and grant.is_connected:
            saved = self.group.save(Save(grant, changes, kind, reason, tokens))
            if saved:
                self.applied(grant, kind, {**changes, "generation": grant.generation + 1}, reason, grant.status)
            if saved is not None:
                return saved
        if not self.apply(grant, kind, changes, reason=reason, leased=True):
            return False
        if grant.use_oauth:
            token_cache.put(grant.pk, _token(grant, tokens))
        return True

    def postpone(self, grant: Any, seconds: float) -> None:
        """Release a claim under which nothing was tried; see `Ledger`."""
        self.manager.using(self.using).postpone([grant], seconds)

    def reinstate(self, pk: UUID, reason: str, seconds: float) -> None:
        """Take back that a user was told to reconnect; see `Ledger`."""
        recently = timezone.now() - timedelta(seconds=app_settings().circuit_window)
        rows = self.manager.using(self.using).filter(status=Status.NEEDS_REAUTH, status_changed_at__gte=recently)
        row = rows.filter(pk=pk, use_oauth=True).first()
        if row is not None:
            pause = timedelta(seconds=postponement(seconds))
            changes = {"status": Status.CONNECTED, "status_reason": "", "refresh_at": timezone.now() + pause}
            self.apply(row, EventKind.REINSTATED, changes | {"last_refresh_error": reason[:64]}, reason=reason)

    def keep_refresh_token(self, grant: Any, tokens: TokenSet, received_at: datetime, *, reason: str) -> bool:
        """Save a refresh token alone, and go on holding the lease; see `Ledger`."""
        changes = refresh_token_changes(grant, tokens, received_at) | {"outcome_unknown": False}
        return self.apply(grant, EventKind.REFRESHED, changes, reason=reason, leased=True)

    def now(self, grant: MailCredentials) -> MailCredentials | None:
        """Return a row as it is by now."""
        found: MailCredentials | None = self.manager.using(self.using).filter(pk=grant.pk).first()
        return found

    def save_failure(self, grant: Any, verdict: Verdict, retry_in: timedelta | None) -> bool:
        """Save a failure and release the lease; see `Ledger`. Tokens are never deleted."""
        now = timezone.now()
        if self._save_verdict(grant, verdict, retry_in, now):
            return True
        if verdict.rotated is None and not verdict.outcome_unknown:
            return False

        def save(current: MailCredentials) -> bool:
            changes: dict[str, Any] = {"outcome_unknown": current.outcome_unknown or verdict.outcome_unknown}
            if verdict.rotated is not None:
                changes |= rotated(current, verdict.rotated, now)
            return self.apply(current, EventKind.REFRESH_FAILED, changes, reason=verdict.reason, leased=True)

        return save_late(self, grant, verdict.kept, now, save) is not None

    def _save_verdict(
        self, grant: MailCredentials, verdict: Verdict, retry_in: timedelta | None, now: datetime
    ) -> bool:
        changes: dict[str, Any] = {
            "lease_owner": "",
            "refresh_at": None if retry_in is None else now + retry_in,
            "refresh_failures": failures_in_a_row(grant, verdict),
            "last_refresh_error": verdict.reason[:64],
            "outcome_unknown": verdict.outcome_unknown,
        }
        if verdict.rotated is not None:
            changes |= rotated(grant, verdict.rotated, now)
        status = _DEMOTIONS.get(verdict.action)
        if status is not None and status != grant.status:
            changes |= {"status": status, "status_reason": verdict.reason[:64]}
            return self.apply(grant, EventKind(status.value), changes, reason=verdict.reason, leased=True)
        return self.apply(grant, EventKind.REFRESH_FAILED, changes, reason=verdict.reason, leased=True)

    def save_unreadable(self, grant: Any, cause: str, seconds: float) -> bool:
        """Say that a claimed row cannot be opened; see `Ledger`."""
        return turn_unreadable(self, grant, cause, seconds)

    def announce_ending(self, row: MailCredentials) -> None:
        """Record that the grant of a mailbox ends soon, and send the signal."""
        reason = "estimated" if row.grant_end_estimated else ""
        self.record(row, EventKind.GRANT_ENDING, reason=reason, generation=row.generation)
        after_commit(self.using, lambda: _send(signals.grant_ending, row, reason=reason))

    def announce(self, row: MailCredentials, kind: EventKind, reason: str, old_status: str) -> None:
        """Bury the cached copy of a mailbox that cannot be used, and send the signals."""
        if not row.is_connected:
            token_cache.bury(row.pk, row.generation)
        if kind in _ENDS_OF_A_GRANT:
            parking.discard(row.pk)
        sent: list[tuple[Signal, dict[str, Any]]] = []
        no_mailbox = row.access == Access.APP and kind in _OF_MAILBOXES
        if kind in _SIGNALS and not no_mailbox:
            sent.append((_SIGNALS[kind], {}))
        if row.status != old_status:
            STATUS_CHANGES.add(provider=row.provider, old_status=old_status, new_status=row.status)
            sent.append((signals.mailbox_status_changed, {"old_status": old_status, "new_status": row.status}))
        for signal, extra in sent:
            _send(signal, row, reason=reason, **extra)


def _send(signal: Signal, row: MailCredentials, **about: Any) -> None:
    for receiver, answer in signal.send_robust(type(row), credentials=row, **about):
        if isinstance(answer, Exception):
            about_row = {"action": "receiver_failed", "mailbox": str(row.pk)}
            logger.error("receiver %r failed", receiver, exc_info=answer, extra=about_row)


def _token(row: Any, tokens: TokenSet) -> AccessToken:
    """Return the access token of a pair that was saved in `row`."""
    return tokens.lasting(row.token_issued_at, row.token_expiry, generation=row.generation)
