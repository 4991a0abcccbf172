"""Which row a new grant belongs to. Accounts are told by issuer and subject, never by their address."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.db import IntegrityError, connections
from django.db.models import QuerySet
from django.utils import timezone

from mail_oauth.cache import token_cache
from mail_oauth.connect.sharing import is_held_by_another, one_at_a_time
from mail_oauth.exceptions import ConnectRefused
from mail_oauth.managers.columns import token_changes
from mail_oauth.managers.transitions import Transitions, after_commit
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import ConnectAttempt, MailCredentials
from mail_oauth.refresh.engine import persist
from mail_oauth.tokens import Identity, TokenSet


def link(attempt: ConnectAttempt, tokens: TokenSet, identity: Identity) -> MailCredentials:
    """Save a grant: to the row that it reconnects, to the one of the same account, or to a new one.

    Raises `ConnectRefused`: `wrong_account` when another account answered than the row's, unless the user had
    asked for a replacement; `already_connected` when the account has a row of its own; `mailbox_gone`;
    `held_by_another` where only one user may hold a mailbox.
    """
    transitions = Transitions(MailCredentials.objects)

    def save() -> MailCredentials:
        with one_at_a_time(transitions.using, attempt, identity):
            return _save(transitions, attempt, tokens, identity)

    row = persist(save)
    now = timezone.now()
    token = tokens.lasting(row.token_issued_at or now, row.token_expiry or now, generation=row.generation)
    after_commit(transitions.using, lambda: token_cache.put(row.pk, token))
    return row


def _save(
    transitions: Transitions, attempt: ConnectAttempt, tokens: TokenSet, identity: Identity
) -> MailCredentials:
    rows = MailCredentials.objects.using(transitions.using).filter(user=attempt.user_id, provider=attempt.provider)
    existing = _existing(rows, attempt, identity)
    takes_it = existing is None or existing.status == Status.DISCONNECTED or not _is_account(existing, identity)
    if takes_it and is_held_by_another(transitions.using, attempt, identity):
        raise ConnectRefused("held_by_another")
    try:
        if existing is None:
            new = _new_row(attempt, tokens, identity)
            return transitions.create(new, unless=lambda: _came_meanwhile(rows, attempt, identity))
    except IntegrityError:  # it was connected in another window, or brought by an import, at this moment
        existing = _existing(rows, attempt, identity)
        if existing is None:
            raise ConnectRefused("already_connected") from None
    kind = EventKind.RECONNECTED if _is_account(existing, identity) else EventKind.REPLACED
    try:
        return transitions.insist(
            existing.pk, kind, lambda row: _changes(row, attempt, tokens, identity), actor=attempt.user
        )
    except IntegrityError:
        raise ConnectRefused("already_connected") from None
    except MailCredentials.DoesNotExist:
        raise ConnectRefused("mailbox_gone") from None


def _existing(
    rows: QuerySet[MailCredentials], attempt: ConnectAttempt, identity: Identity
) -> MailCredentials | None:
    """Find the row to write to; None for a mailbox that is new. `rows` are its user's at its provider."""
    if attempt.replaces_id is not None:
        row = rows.filter(pk=attempt.replaces_id).first()
        if row is None:
            raise ConnectRefused("mailbox_gone")
        return row
    # Compared here once more: to some databases' collations "abc" and "ABC" are one subject.
    of_account = rows.filter(issuer=identity.issuer, subject=identity.subject)
    by_address = {row.email.lower(): row for row in of_account if _names(row) == _names(identity)}
    found = by_address.get(identity.email.lower()) or _unpinned(rows, identity)
    if found is not None or not identity.subject or attempt.typed_email:
        return found
    # The same account under a new address: its own mailbox is the row whose address the provider gave.
    return next((row for row in by_address.values() if not row.address_typed), None)


def _unpinned(rows: QuerySet[MailCredentials], identity: Identity) -> MailCredentials | None:
    """Find the row of an address of which nobody knows yet whose account it is: it was imported."""
    address = identity.email.lower()
    return next((row for row in rows.filter(subject="") if row.email.lower() == address), None)


def _came_meanwhile(rows: QuerySet[MailCredentials], attempt: ConnectAttempt, identity: Identity) -> bool:
    """Tell whether an import has brought the mailbox at this moment; until the transaction ends, none does.

    It holds its users' rows, and what it brings names no account, so that no constraint would tell. The user's own row is
    asked for: PostgreSQL looks at a new row's foreign keys at the commit only, as Django makes them.
    """
    if not identity.subject:
        return False
    users = get_user_model()._base_manager.using(rows.db).filter(pk=attempt.user_id)
    if connections[rows.db].features.has_select_for_update:
        list(users.select_for_update().values_list("pk"))
    return _unpinned(rows, identity) is not None


def address_to_be(attempt: ConnectAttempt, identity: Identity) -> str:
    """Return which address the mailbox has once a grant is linked, as far as can be told before.

    Raises `ConnectRefused` as `link` does, which judges again when it writes.
    """
    using = Transitions(MailCredentials.objects).using
    rows = MailCredentials.objects.using(using).filter(user=attempt.user_id, provider=attempt.provider)
    existing = _existing(rows, attempt, identity)
    if existing is None:
        return identity.email
    _refuse_another(existing, attempt, identity)
    return existing.email if _keeps_address(existing, attempt, identity) else identity.email


def _is_account(row: MailCredentials, identity: Identity) -> bool:
    """Tell whether a grant is of the row's account.

    Where nobody was named so far, the address must be the same: of a provider that names nobody, or of a mailbox that was
    imported, whose account is pinned by the first grant that its user gives.
    """
    if not row.subject:
        return row.email.lower() == identity.email.lower()
    return _names(row) == _names(identity)


def _names(of: MailCredentials | Identity) -> tuple[str, str]:
    return of.issuer, of.subject


def _new_row(attempt: ConnectAttempt, tokens: TokenSet, identity: Identity) -> MailCredentials:
    row = MailCredentials(user=attempt.user, provider=attempt.provider, email=identity.email)
    for name, value in _changes(row, attempt, tokens, identity).items():
        setattr(row, name, value)
    return row


def _refuse_another(row: MailCredentials, attempt: ConnectAttempt, identity: Identity) -> None:
    replacing = attempt.allow_replacement and row.pk == attempt.replaces_id
    if not (row._state.adding or replacing or _is_account(row, identity)):
        raise ConnectRefused("wrong_account")


def _keeps_address(row: MailCredentials, attempt: ConnectAttempt, identity: Identity) -> bool:
    """Tell whether a shared mailbox stays what its user made it."""
    return _is_account(row, identity) and row.address_typed and not attempt.typed_email


def _changes(
    row: MailCredentials, attempt: ConnectAttempt, tokens: TokenSet, identity: Identity
) -> dict[str, Any]:
    """Return what a grant sets. The account is compared here, with the row as it is when it is written."""
    _refuse_another(row, attempt, identity)
    row.connected_at = timezone.now()  # the grant's end may be counted from it
    changes = token_changes(row, tokens)
    if not _keeps_address(row, attempt, identity):
        changes |= {name: getattr(identity, name) for name in ("email", "email_verified", "address_typed")}
    return changes | {
        "issuer": identity.issuer,
        "subject": identity.subject,
        "tenant": identity.tenant,
        "sign_in_address": identity.sign_in_address,
        "requested_scopes": attempt.requested_scopes,
        "granted_scopes": attempt.requested_scopes if tokens.scopes is None else " ".join(tokens.scopes),
        "status": Status.CONNECTED,
        "status_reason": "",
        "use_oauth": True,
        "connected_at": row.connected_at,
        "grant_warned_at": None,
        "rejected_at": None,
    }
