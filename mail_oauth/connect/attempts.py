"""Consents under way: begun once, taken once, by the same user in the same browser (RFC 9700 §4.7)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import router
from django.utils import timezone

from mail_oauth.conf import app_settings
from mail_oauth.connect.pace import take_start
from mail_oauth.connect.refusals import faults_refused
from mail_oauth.encryption import seal, unseal
from mail_oauth.exceptions import ConnectRefused, SealError
from mail_oauth.frames import keeps_locals_in
from mail_oauth.models import ConnectAttempt, MailCredentials
from mail_oauth.models.consents import LONGEST_REDIRECT_URI
from mail_oauth.providers import Provider
from mail_oauth.signals import value_refused
from mail_oauth.tokens import Secret

_SESSION_KEY = "mail_oauth_binding"

MOST_AT_ONCE = 20
"""How many consents a user may have under way; the oldest give way, so that nobody fills the table."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What a user asked for at the start.

    `typed_email` is the address that the user gave, `mailbox` the row to reconnect, and `replace` allows the
    account behind it to change.
    """

    next_url: str = ""
    typed_email: str = ""
    mailbox: MailCredentials | None = None
    replace: bool = False


def browser_binding(session: Any) -> str:
    """Return the random value that ties consents to this browser session; made at the first call."""
    if _SESSION_KEY not in session:
        session[_SESSION_KEY] = secrets.token_urlsafe(32)
    return str(session[_SESSION_KEY])


@keeps_locals_in
def begin(provider: Provider, user: Any, session: Any, redirect_uri: str, wish: Wish) -> Secret:
    """Note a consent under way and return the URL to send the browser to.

    Raises `ConnectRefused`, of which `TooManyStarts` is one: then neither a row nor a call was spent on it.
    """
    if len(redirect_uri) > LONGEST_REDIRECT_URI:  # by a Host of endless subdomains
        raise ConnectRefused("bad_request", "The redirect URI is too long.")
    take_start(user)
    state, nonce, verifier = (secrets.token_urlsafe(48) for _ in range(3))
    attempt = ConnectAttempt(
        state_digest=_digest(state),
        binding_digest=_digest(browser_binding(session)),
        user=user,
        provider=provider.alias,
        redirect_uri=redirect_uri,
        requested_scopes=" ".join(provider.requested_scopes),
        next_url=wish.next_url,
        typed_email=wish.typed_email,
        replaces=wish.mailbox,
        allow_replacement=wish.replace,
        expires_at=timezone.now() + timedelta(seconds=app_settings().state_seconds),
    )
    with faults_refused(provider.alias):  # the source of the keys may be away as well
        attempt.code_verifier = seal(Secret(verifier), attempt.place("code_verifier"))
        attempt.nonce = seal(Secret(nonce), attempt.place("nonce"))
        url = provider.authorization_url(
            redirect_uri=redirect_uri,
            state=state,
            nonce=nonce,
            code_verifier=verifier,
            login_hint=_login_hint(wish),
        )
    _make_room(user)
    attempt.save()
    return Secret(url)


@keeps_locals_in
def take(state: Secret, *, alias: str, user: Any, session: Any) -> ConnectAttempt:
    """Take the consent that `state` names, for good: of two callers with the same state one gets it.

    Unknown, expired, taken and foreign ones are refused with one and the same answer, and a foreign one is
    left for its owner. Raises `ConnectRefused`.
    """
    attempts = ConnectAttempt.objects.using(router.db_for_write(ConnectAttempt))  # a replica may lag behind
    attempt = attempts.filter(state_digest=_digest(state.reveal())).first()
    binding = _digest(str(session.get(_SESSION_KEY, "")))
    ours = (
        attempt is not None
        and attempt.user_id == user.pk
        and attempt.provider == alias
        and attempt.expires_at > timezone.now()
        and hmac.compare_digest(attempt.binding_digest, binding)
    )
    if attempt is None or not ours:
        raise ConnectRefused("bad_state")
    taken, _ = attempts.filter(pk=attempt.pk).delete()
    if not taken:
        raise ConnectRefused("bad_state")
    return attempt


def open_secret(attempt: ConnectAttempt, column: str) -> Secret:
    """Decrypt the code verifier or the nonce of a consent. Raises `SealError`."""
    try:
        return unseal(getattr(attempt, column), attempt.place(column))
    except SealError as error:
        value_refused.send_robust(type(attempt), mailbox=None, where=column, cause=error.code)
        raise


def _make_room(user: Any) -> None:
    attempts = ConnectAttempt.objects.using(router.db_for_write(ConnectAttempt)).filter(user=user)
    surplus = attempts.order_by("-expires_at").values_list("pk", flat=True)[MOST_AT_ONCE - 1 :]
    if pks := list(surplus):
        attempts.filter(pk__in=pks).delete()


def _login_hint(wish: Wish) -> str:
    if wish.replace:
        return ""
    if wish.mailbox is not None:
        return wish.mailbox.sign_in_address or wish.mailbox.email
    return wish.typed_email


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()
