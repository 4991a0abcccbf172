"""From a provider's answer to a connected mailbox."""

from __future__ import annotations

import logging
from dataclasses import replace

from django.db import DatabaseError

from mail_oauth.connect.answers import REFUSALS_BY_ERROR, Answer
from mail_oauth.connect.attempts import open_secret
from mail_oauth.connect.linking import link
from mail_oauth.connect.refusals import faults_refused
from mail_oauth.connect.verifying import verify
from mail_oauth.exceptions import ConnectRefused, TransportError
from mail_oauth.frames import keeps_locals_in
from mail_oauth.metrics import CONNECTS
from mail_oauth.models import ConnectAttempt, MailCredentials
from mail_oauth.providers import Provider, provider_for
from mail_oauth.redaction.text import scrub
from mail_oauth.refresh.asking import ask
from mail_oauth.refresh.classification import Action
from mail_oauth.refresh.verdicts import Verdict, judge_fault
from mail_oauth.tokens import Identity, Secret, TokenSet, scope_set

logger = logging.getLogger(__name__)

LONGEST_REASON = 500
"""So many characters of why a connect was refused go to the log."""

_REFUSALS_BY_ACTION = {
    Action.RETRY: "provider_unavailable",
    Action.REAUTH: "start_again",
    Action.ADMIN: "admin_required",
    Action.OPERATOR: "misconfigured",
    Action.BUG: "misconfigured",
}


def complete(attempt: ConnectAttempt, answer: Answer) -> MailCredentials:
    """Finish a consent that was taken: redeem the code, check what was granted and by whom, save.

    Raises `ConnectRefused`; any mailbox that was connected before is then as it was.
    """
    try:
        return _complete(attempt, answer)
    except ConnectRefused as refused:
        _report(attempt, refused)
        raise


def _report(attempt: ConnectAttempt, refused: ConnectRefused) -> None:
    """Log why a user could not connect."""
    message = "" if str(refused) == refused.code else str(refused)
    reason = scrub(message)[:LONGEST_REASON]  # a provider of the site's own may say anything
    about = {"action": "connect", "provider": attempt.provider, "outcome": refused.code, "reason": reason}
    CONNECTS.add(provider=attempt.provider, outcome=refused.code)
    logger.warning("connect refused: %s%s", refused.code, reason and f" ({reason})", extra=about)


def _complete(attempt: ConnectAttempt, answer: Answer) -> MailCredentials:
    with faults_refused(attempt.provider):
        provider = provider_for(attempt.provider)
        if answer.code is not None or answer.iss is not None:
            # Some leave `iss` out of refusals (django-oauth-toolkit); those hold nothing that could be mixed up.
            provider.check_callback_issuer(answer.iss)
        nonce = open_secret(attempt, "nonce")  # before the code is spent: a missing key must not cost a grant
        tokens = _redeem(provider, attempt, answer)
        _check_grant(provider, attempt, tokens)
        identity = _identity(provider, tokens, nonce)
    row = _save(attempt, tokens, _with_address(identity, attempt))
    CONNECTS.add(provider=row.provider, outcome="connected")
    logger.info(
        "mailbox %s connected",
        row.pk,
        extra={
            "action": "connect",
            "mailbox": str(row.pk),
            "provider": row.provider,
            "outcome": "connected",
            "generation": row.generation,
            "expires_at": row.token_expiry.isoformat() if row.token_expiry else None,
            "refresh_token": "new",
        },
    )
    return row


def _save(attempt: ConnectAttempt, tokens: TokenSet, identity: Identity) -> MailCredentials:
    try:
        verify(attempt, tokens, identity)
        return link(attempt, tokens, identity)
    except DatabaseError:
        about = {"action": "connect", "provider": attempt.provider, "outcome": "not_saved"}
        logger.exception("connect: a grant could not be saved and is lost", extra=about)
        raise ConnectRefused("not_saved") from None


def _redeem(provider: Provider, attempt: ConnectAttempt, answer: Answer) -> TokenSet:
    code, uri = answer.code, attempt.redirect_uri
    if code is None:
        raise ConnectRefused(REFUSALS_BY_ERROR.get(answer.error, "provider_error"), answer.error_code)
    verifier = open_secret(attempt, "code_verifier") if provider.setting("USES_PKCE") else None
    try:
        asked = ask(
            provider,
            lambda endpoint: endpoint.redeem(
                code, redirect_uri=uri, code_verifier=verifier, scope=provider.redeemed_scope
            ),
        )
        verdict: Verdict = asked.verdict
    except TransportError as error:
        verdict = judge_fault(error)
    if verdict.tokens is None:
        raise ConnectRefused(_REFUSALS_BY_ACTION[verdict.action], verdict.reason)
    return verdict.tokens


@keeps_locals_in
def _identity(provider: Provider, tokens: TokenSet, nonce: Secret) -> Identity:
    return provider.identity(tokens, nonce=nonce.reveal())


def _check_grant(provider: Provider, attempt: ConnectAttempt, tokens: TokenSet) -> None:
    """Refuse a grant that could not serve: one that cannot be refreshed, or opens no mail."""
    if tokens.refresh_token is None:
        raise ConnectRefused("no_refresh_token")
    missing = provider.missing_scopes(tokens.scopes, scope_set(attempt.requested_scopes))
    if missing:
        raise ConnectRefused("scope_missing", "Not granted: " + " ".join(missing))


def _with_address(identity: Identity, attempt: ConnectAttempt) -> Identity:
    """Let the address that the user typed stand over the provider's; nobody has verified it."""
    email = attempt.typed_email or identity.email
    if not email:
        raise ConnectRefused("no_address")
    return replace(
        identity,
        email=email,
        email_verified=identity.email_verified and email == identity.email,
        address_typed=email.lower() != identity.email.lower(),
        sign_in_address=identity.sign_in_address or email,
    )
