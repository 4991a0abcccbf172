"""The token that an app has for all mailboxes it is let into: where it lives, and how a mailbox comes by it.

At Microsoft one token of the app opens every mailbox that an administrator permits. It lives in a row of its own, with
`Access.APP`, beside the mailboxes; those have none, and nothing is planned for them. So it is claimed, asked for, judged,
saved and published as every other token is: one lease keeps a herd from asking at once, lanes and back-off hold, the
sweep keeps it warm, and each of ten thousand mailboxes takes it from the one copy in the cache. A cache that is flushed
costs a look at one row; a grant is asked for once in a token's life, however many mailboxes there are.

That a mailbox may still be used its own row says, which is looked at for each read: a disconnected one gets no token,
though the app's token lives. So each read costs a query, as for another resource of a grant.

The row is named by what the token is for: alias, app, tenant and scope. With other settings comes another row; while
processes with old and new settings run side by side, each has its own, and none gets a token of the other's tenant.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist
from django.db import IntegrityError
from django.utils import timezone

from mail_oauth.conf import app_settings
from mail_oauth.managers.background import outside_transaction
from mail_oauth.managers.errors import unusable
from mail_oauth.managers.latecomers import INSISTENCE
from mail_oauth.managers.vocabulary import Access, EventKind, Status
from mail_oauth.providers import Provider, provider_for

if TYPE_CHECKING:
    from mail_oauth.managers.transitions import Transitions
    from mail_oauth.models import MailCredentials

T = TypeVar("T")

_GIVEN_UP = (Status.DISCONNECTED, Status.NEEDS_REAUTH)

_known: dict[tuple[str, str], UUID] = {}
"""The primary keys of such rows, by database and key: a row never gets another one."""


def mailbox_key(alias: str, address: str) -> str:
    """Return the key of a mailbox that the app is let into; letters' case makes no other mailbox."""
    return _digest("mailbox", alias, address.lower())


def app_key(provider: Provider) -> str:
    """Return the key of the row that has the token of a provider's app."""
    return _digest("app", provider.alias, provider.app_name, provider.app_tenant, provider.app_scope)


def forget() -> None:
    """Look such rows up again: for tests, whose rows go while the process stays."""
    _known.clear()


def has_token_of_its_own(row: MailCredentials) -> bool:
    """Tell whether there is a token to refresh: not where the app's opens the mailbox, nor for settings that were."""
    if row.access != Access.APP or row.provider not in app_settings().providers:
        return row.access != Access.SHARED
    return row.app_key == app_key(provider_for(row.provider))


def _digest(*names: str) -> str:
    return hashlib.sha256("\0".join(names).encode()).hexdigest()


def by_shared_token(ledger: Transitions, row: MailCredentials, use: Callable[[UUID], T]) -> T:
    """Do something with the row that has the token by which the mailbox `row` is opened.

    Raises a `MailboxError` where the mailbox may not be used, and `ConfigurationError`.
    """
    error = unusable(row)
    if error is not None:
        raise error
    provider = provider_for(row.provider)
    known = _known.get((ledger.using, app_key(provider)))
    if known is not None:
        with suppress(ObjectDoesNotExist):  # somebody deleted it, which costs a call
            return use(known)
    return use(holder(ledger, provider))


def holder(ledger: Transitions, provider: Provider) -> UUID:
    """Return the primary key of the row that has an app's token; it is made where there is none."""
    key = app_key(provider)
    pk: UUID = outside_transaction(ledger.using, lambda: _found_or_made(ledger, provider, key).pk)
    _known[ledger.using, key] = pk
    return pk


def revive(ledger: Transitions, pk: UUID, actor: Any = None) -> bool:
    """Take an app's token into use again where it was disconnected, or taken for a grant that its user must renew.

    No read does: what somebody disconnected stays so until somebody adds a mailbox.
    """
    rows = ledger.manager.using(ledger.using).filter(pk=pk, status__in=_GIVEN_UP)
    for _ in range(INSISTENCE):
        row = rows.first()
        if row is None:  # nearly always; or another revived it at this moment
            return False
        now = timezone.now()
        changes = {
            "status": Status.CONNECTED,
            "status_reason": "",
            "use_oauth": True,
            "refresh_at": now,
            "refresh_failures": 0,
            "last_refresh_error": "",
            "lease_owner": "",
            "connected_at": now,
        }
        if ledger.apply(row, EventKind.RECONNECTED, changes, actor=actor):
            return True
    return False


def app_row(row: MailCredentials) -> MailCredentials | None:
    """Return the row that has the token by which the mailbox `row` is opened; None where that is its own, or not there yet."""
    if row.access != Access.SHARED or row.provider not in app_settings().providers:
        return None
    manager = type(row).objects
    rows = manager.using(manager.write_alias()).filter(app_key=app_key(provider_for(row.provider)))
    found: MailCredentials | None = rows.first()
    return found


def _found_or_made(ledger: Transitions, provider: Provider, key: str) -> MailCredentials:
    rows = ledger.manager.using(ledger.using).filter(app_key=key)
    found: MailCredentials | None = rows.first()
    if found is not None:
        return found
    row = ledger.manager.model(
        provider=provider.alias,
        access=Access.APP,
        app_key=key,
        tenant=provider.app_tenant,
        sign_in_address=provider.app_name,
        requested_scopes=provider.app_scope,
        refresh_at=timezone.now(),
    )
    try:
        return ledger.create(row)
    except IntegrityError:  # made by another at this moment
        made: MailCredentials = rows.get()
        return made
