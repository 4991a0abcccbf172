"""Disconnecting: at once here, and at the provider as far as it lets us (RFC 7009)."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError, SealError, TransportError
from mail_oauth.managers.background import outside_transaction
from mail_oauth.managers.transitions import Transitions
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import MailCredentials
from mail_oauth.providers import Provider, Revocation, provider_for
from mail_oauth.refresh.asking import ask
from mail_oauth.refresh.policy import retry_delay
from mail_oauth.tokens import HttpReply

logger = logging.getLogger(__name__)

REVOCATION_ATTEMPTS = 8
"""After so many failed attempts the token is dropped unrevoked; the history says so."""


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
    return _revoke(Transitions(MailCredentials.objects), row)


def _disconnect(transitions: Transitions, row: MailCredentials, actor: Any) -> Revocation:
    # Should this process die before the provider has answered, the sweep finishes what was begun.
    later = timezone.now() + timedelta(seconds=app_settings().lease_seconds)
    changes = {
        "status": Status.DISCONNECTED,
        "status_reason": "",
        "access_token": None,
        "token_expiry": None,
        "token_issued_at": None,
        "refresh_at": later,
        "refresh_failures": 0,
        "lease_owner": "",
    }
    current = transitions.insist(row.pk, EventKind.DISCONNECTED, lambda _: dict(changes), actor=actor)
    return _revoke(transitions, current)


def _revoke(transitions: Transitions, row: MailCredentials) -> Revocation:
    """Revoke, and note the outcome unless the mailbox was connected again meanwhile."""
    result, reason, retry = _ask(row)
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


def _ask(row: MailCredentials) -> tuple[Revocation, str, bool]:
    """Call the revocation endpoint; return the outcome, its code, and whether to try again."""
    if row.is_app_only:
        return Revocation.NOTHING, "app_only", False
    try:
        provider = provider_for(row.provider)
    except ConfigurationError:  # nobody is left who could be asked
        return Revocation.UNSUPPORTED, "configuration", False
    try:
        return _asked_of(provider, row)
    except ConfigurationError:
        # The source of the keys is away, say, or the proxy is mistyped: the token waits until that is mended.
        return Revocation.FAILED, "configuration", True
    except SealError as error:
        return Revocation.FAILED, error.code, error.mendable
    except TransportError as error:
        return Revocation.FAILED, error.cause, True


def _asked_of(provider: Provider, row: MailCredentials) -> tuple[Revocation, str, bool]:
    url = "" if row.refresh_token is None else provider.revocation_url()
    if not url:
        return Revocation.UNSUPPORTED, "no_revocation_endpoint", False
    if provider.revokes_whole_account and _shared(row):
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
