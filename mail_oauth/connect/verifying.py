"""Whether a new grant opens the mailbox it is for, tried before it takes the place of another (`VERIFY_CONNECT`)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn

from django.utils import timezone

from mail_oauth.conf import app_settings
from mail_oauth.connect.linking import address_to_be
from mail_oauth.exceptions import (
    ConnectRefused,
    MailServerError,
    MailServerUnavailable,
    ProviderUnavailable,
)
from mail_oauth.mailbox.refusals import Fault
from mail_oauth.mailbox.trials import Step, try_out
from mail_oauth.models import ConnectAttempt
from mail_oauth.providers import provider_for
from mail_oauth.tokens import AccessToken, Identity, MailServer, Secret, TokenSet, scope_set

logger = logging.getLogger(__name__)

_REFUSALS_BY_FAULT = {
    Fault.SCOPE.value: "mail_scope",
    Fault.MAILBOX.value: "mail_access",
    Fault.SWITCHED_OFF.value: "mail_switched_off",
    Fault.TOKEN.value: "mail_refused",
}
"""By the reason of a `SignInRefused`; of others the site's settings are the cause."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewGrant:
    """What a session needs of a grant that is in no row yet."""

    provider: str
    email: str
    scopes: tuple[str, ...]
    token: AccessToken

    def get_access_token(self, *, resource: str = "mail") -> AccessToken:
        """Return the token that came with the grant."""
        return self.token

    def report_rejected(self, _refused: Secret, /, *, resource: str = "mail") -> NoReturn:
        """Raise `ProviderUnavailable`: a token that was just issued is not replaced, and nothing is spent on it."""
        raise ProviderUnavailable(
            "The token is a moment old: another would be no better.", reason="token_rejected"
        )


def verify(attempt: ConnectAttempt, tokens: TokenSet, identity: Identity) -> None:
    """Open the mailbox with a new grant, where the site wants it so.

    Raises `ConnectRefused`: `mail_scope`, `mail_access`, `mail_switched_off` or `mail_refused` where the mail server
    refuses, `misconfigured` where the settings do not lead to it, or as `link` does. A server that cannot tell now, or
    that the provider does not name, refuses nobody: the log says that the grant was not verified.
    """
    protocol = app_settings().verify_connect.upper()
    if not protocol:
        return
    if not isinstance(provider_for(attempt.provider).setting(protocol), MailServer):
        _note(attempt, protocol, "no_server")
        return
    now = timezone.now()
    grant = NewGrant(
        provider=attempt.provider,
        email=address_to_be(attempt, identity),
        scopes=scope_set(attempt.requested_scopes) if tokens.scopes is None else tokens.scopes,
        token=tokens.lasting(now, now + timedelta(seconds=tokens.expires_in), generation=0),
    )
    for step in try_out(protocol, grant):
        _judge(attempt, step)


def _judge(attempt: ConnectAttempt, step: Step) -> None:
    error = step.error
    if isinstance(error, MailServerUnavailable):
        _note(attempt, step.protocol, step.reason)
    elif isinstance(error, MailServerError):
        code = _REFUSALS_BY_FAULT.get(step.reason, "misconfigured")
        raise ConnectRefused(code, f"{step.protocol}: {step.reason} {error.code}".rstrip())
    elif error is not None:
        raise ConnectRefused("misconfigured", str(error))


def _note(attempt: ConnectAttempt, protocol: str, reason: str) -> None:
    about = {"action": "connect", "provider": attempt.provider, "outcome": "not_verified", "reason": reason}
    logger.warning("connect: not verified by %s (%s)", protocol, reason, extra=about)
