"""Disconnecting: at once here, and at the provider as far as it lets us (RFC 7009)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from time import monotonic, sleep
from typing import Any

from django.db import OperationalError
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError, SealError, TransportError
from mail_oauth.managers.background import outside_transaction
from mail_oauth.managers.clock import DatabaseNow
from mail_oauth.managers.transitions import Transitions
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import MailCredentials
from mail_oauth.providers import Provider, Revocation, provider_for
from mail_oauth.refresh.adoption import parked_for
from mail_oauth.refresh.asking import ask
from mail_oauth.refresh.policy import retry_delay
from mail_oauth.tokens import HttpReply

logger = logging.getLogger(__name__)

REVOCATION_ATTEMPTS = 8
"""After so many failed attempts the token is dropped unrevoked; the history says so."""

_POLL_SECONDS = 0.1

_Shared = Callable[[MailCredentials], bool]
"""Tells whether a grant must stay, for another mailbox lives on it."""


def disconnect(row: MailCredentials, *, actor: Any = None) -> Revocation:
    """Disconnect a mailbox; tell what became of its grant at the provider.

    The row stays, without tokens. Local deletion never waits for the provider: where revoking fails for now,
    the sealed refresh token is kept for the sweep to try again, and is used for nothing else.
    Raises `TransactionHeld` inside `atomic()` on SQLite, and `MailCredentials.DoesNotExist`.
    """
    transitions = Transitions(MailCredentials.objects)
    return outside_transaction(transitions.using, lambda: _disconnect(transitions, row, actor))


def retry_revocation(row: MailCredentials) -> Revocation:
    """Try once more to revoke the grant of a disconnected mailbox."""
    return _revoke(Transitions(MailCredentials.objects), row, _shared)


def end_grant(row: MailCredentials) -> Revocation | None:
    """Disconnect a mailbox whose user is erased, or revoke what could not be revoked when it was; as `disconnect` does.

    Returns None for one that was disconnected, and of which no token is left: its history tells what became of its grant.
    A refresh that is under way is waited for, until its lease is over at the latest: what it brings would live on, and
    nobody would know of it. The grant stays for another user's mailbox alone, of an account that the provider has named.
    Raises what `disconnect` raises, and `OperationalError` for a mailbox that is refreshed all the time.
    """
    transitions = Transitions(MailCredentials.objects)
    return outside_transaction(transitions.using, lambda: _end_grant(transitions, row))


def _disconnect(transitions: Transitions, row: MailCredentials, actor: Any) -> Revocation:
    current = transitions.insist(row.pk, EventKind.DISCONNECTED, _changes, actor=actor)
    return _revoke(transitions, current, _shared)


def _end_grant(transitions: Transitions, row: MailCredentials) -> Revocation | None:
    rows = MailCredentials.objects.using(transitions.using)
    idle = rows.filter(
        Q(lease_owner="") | Q(refresh_at__isnull=True) | Q(refresh_at__lte=DatabaseNow()), pk=row.pk
    )
    give_up_at = monotonic() + 2 * app_settings().lease_seconds
    while monotonic() < give_up_at:
        current = idle.first()
        if current is None:
            rows.only("pk").get(pk=row.pk)  # raises where it is gone
            sleep(_POLL_SECONDS)
        elif current.status == Status.DISCONNECTED:
            pending = current.refresh_token is not None
            return _revoke(transitions, current, needed_by_others) if pending else None
        elif transitions.apply(current, EventKind.DISCONNECTED, _changes(current), leased=True):
            return _revoke(transitions, current, needed_by_others)
    raise OperationalError(f"Mailbox {row.pk} is refreshed by others all the time.")


def _changes(row: MailCredentials) -> dict[str, Any]:
    # Should this process die before the provider has answered, the sweep finishes what was begun.
    later = timezone.now() + timedelta(seconds=app_settings().lease_seconds)
    return _newest(row) | {
        "status": Status.DISCONNECTED,
        "status_reason": "",
        "access_token": None,
        "token_expiry": None,
        "token_issued_at": None,
        "refresh_at": later,
        "refresh_failures": 0,
        "lease_owner": "",
    }


def _newest(row: MailCredentials) -> dict[str, Any]:
    """Return the refresh token that is parked for a row: the provider may have ended the one that stands there."""
    with suppress(ConfigurationError):  # without any key, the row's own token waits for one
        pair = parked_for(row, look_only=True)
        if pair is not None and pair.tokens.refresh_token is not None:
            return {"refresh_token": row.sealed("refresh_token", pair.tokens.refresh_token)}
    return {}


def _revoke(transitions: Transitions, row: MailCredentials, shared: _Shared) -> Revocation:
    """Revoke, and note the outcome unless the mailbox was connected again meanwhile."""
    result, reason, retry = _ask(row, shared)
    changes: dict[str, Any] = {"refresh_token": None, "refresh_at": None, "lease_owner": ""}
    if retry and row.refresh_failures + 1 < REVOCATION_ATTEMPTS:
        delay = retry_delay(row.refresh_failures + 1)
        failures = {"refresh_failures": row.refresh_failures + 1, "last_refresh_error": reason[:64]}
        changes = failures | {"refresh_at": timezone.now() + timedelta(seconds=delay), "lease_owner": ""}
    kind = {
        Revocation.REVOKED: EventKind.REVOKED,
        Revocation.FAILED: EventKind.REVOCATION_FAILED,
    }.get(result, EventKind.TOKENS_DROPPED)
    transitions.apply(row, kind, changes, reason=reason)
    logger.info(
        "mailbox %s disconnected: %s",
        row.pk,
        result.value,
        extra={"action": "revoke", "mailbox": str(row.pk), "outcome": result.value, "reason": reason},
    )
    return result


def _ask(row: MailCredentials, shared: _Shared) -> tuple[Revocation, str, bool]:
    """Call the revocation endpoint; return the outcome, its code, and whether to try again."""
    if row.is_app_only:
        return Revocation.NOTHING, "app_only", False
    try:
        provider = provider_for(row.provider)
    except ConfigurationError:  # nobody is left who could be asked
        return Revocation.UNSUPPORTED, "configuration", False
    try:
        return _asked_of(provider, row, shared)
    except ConfigurationError:
        # The source of the keys is away, say, or the proxy is mistyped: the token waits until that is mended.
        return Revocation.FAILED, "configuration", True
    except SealError as error:
        return Revocation.FAILED, error.code, error.mendable
    except TransportError as error:
        return Revocation.FAILED, error.cause, True


def _asked_of(provider: Provider, row: MailCredentials, shared: _Shared) -> tuple[Revocation, str, bool]:
    url = "" if row.refresh_token is None else provider.revocation_url()
    if not url:
        return Revocation.UNSUPPORTED, "no_revocation_endpoint", False
    if provider.revokes_whole_account and shared(row):
        return Revocation.KEPT, "grant_shared", False
    token = row.open_refresh_token()
    return _outcome(ask(provider, lambda endpoint: endpoint.revoke(url, token)).reply)


def _outcome(reply: HttpReply) -> tuple[Revocation, str, bool]:
    """RFC 7009 §2.2: 200 also for a token that is not valid any more, which Google answers with 400."""
    if reply.status == 200 or (reply.status == 400 and b"invalid_token" in reply.body):
        return Revocation.REVOKED, "", False
    return Revocation.FAILED, f"http_{reply.status}", reply.status >= 500 or reply.status in (408, 429)


def _shared(row: MailCredentials) -> bool:
    """Tell whether a mailbox lives on the same account's grant.

    Of any alias: Google revokes for all clients of a project (its OAuth pages, token revocation). The row itself
    counts when it was connected again since it was read. Of an imported mailbox nobody knows whose account it is: then
    its address tells.
    """
    rows = MailCredentials.objects.using(MailCredentials.objects.write_alias()).present()
    here = Q(lowered=row.email.lower())
    same = Q(issuer=row.issuer, subject=row.subject) | (here & Q(subject="")) if row.subject else here
    return bool(rows.alias(lowered=Lower("email")).filter(same).exists())


def needed_by_others(row: MailCredentials) -> bool:
    """Tell whether another user's mailbox lives on the same account's grant, by the provider's own word.

    What merely claims an address keeps nobody's grant alive; nor does a mailbox whose own token was refused. Of an
    imported row nobody knows whose account it is: then the address tells that the provider has named.
    """
    rows = MailCredentials.objects.using(MailCredentials.objects.write_alias()).present()
    living = rows.filter(refresh_token__isnull=False).exclude(status=Status.NEEDS_REAUTH).exclude(user=row.user_id)
    pinned = living.exclude(subject="").without_tokens()
    if not row.subject:
        address = row.email.lower()
        return bool(pinned.alias(lowered=Lower("email")).filter(lowered=address, address_typed=False).exists())
    named = (
        row.issuer,
        row.subject,
    )  # compared here once more: to some collations "abc" and "ABC" are one subject
    same = pinned.filter(issuer=row.issuer, subject=row.subject)
    return named in set(same.values_list("issuer", "subject"))
