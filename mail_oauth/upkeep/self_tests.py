"""Test messages that users have their mailboxes send to themselves: how often, and what came of it in the user's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.cache import caches
from django.utils.translation import gettext_lazy as _

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import (
    AdminRequired,
    MailboxDisconnected,
    MailServerUnavailable,
    ProviderUnavailable,
    ReauthRequired,
)
from mail_oauth.mailbox.trials import Outcome, Step
from mail_oauth.models import MailCredentials
from mail_oauth.upkeep.signing_in import sign_in_everywhere

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

MOST_AN_HOUR = 5
"""How many test messages one user may have sent within an hour."""

_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Told:
    """Whether the message is on its way, and what its user is told."""

    done: bool
    text: str


_SENT = _("A test message to %(email)s is on its way.")
_TOO_MANY = _("No more test messages for now: please try again in an hour.")
_NO_WAY = _("No mail can be sent through %(email)s: it was connected without that.")
_LATER = _("The test message was not sent, because a server does not answer now. Please try again later.")
_OTHERWISE = _("The test message was not sent. Please tell the operators of this site (%(reason)s).")

_BY_REASON: dict[str, _StrOrPromise] = {
    "scope": _(
        "The test message was not sent: sending was left out when %(email)s was connected. Please reconnect it and tick "
        "every box."
    ),
    "mailbox": _(
        "The test message was not sent: you have no access to %(email)s. Ask its owner or your administrator."
    ),
    "switched_off": _(
        "The test message was not sent: sending by programs (SMTP) is switched off for %(email)s. Switch it on in your "
        "account's settings, or ask your administrator."
    ),
    "refused": _(
        "The test message was not sent: the mail server did not let this site in. Please see whether %(email)s is the "
        "address of your mailbox, and whether sending by programs (SMTP) is switched on in your account's settings."
    ),
    "not_taken": _(
        "The mail server did not take the test message from %(email)s. It may be a limit, or a rule of your organisation."
    ),
}
"""By the reason of an error of a mail server."""

_BY_KIND: dict[type[Exception], _StrOrPromise] = {
    ReauthRequired: _("The test message was not sent: please reconnect %(email)s."),
    AdminRequired: _("The test message was not sent: your administrator must allow this site to use %(email)s."),
    MailboxDisconnected: _("The test message was not sent: %(email)s is not in use."),
    MailServerUnavailable: _LATER,
    ProviderUnavailable: _LATER,
}


def send_to_itself(row: MailCredentials, user: Any) -> Told:
    """Have a mailbox of `user` send itself a message, unless they had too many sent of late."""
    if not _take_turn(user):
        return Told(False, str(_TOO_MANY))
    found = sign_in_everywhere(row, protocols=["SMTP"], send=True)
    text = _why(found.failed[0]) if found.failed else _SENT if found.came_to(Outcome.OK) else _NO_WAY
    reason = found.failed[0].reason if found.failed else ""
    return Told(text is _SENT, str(text) % {"email": row.email, "reason": reason})


def _why(step: Step) -> _StrOrPromise:
    by_kind = next((text for kind, text in _BY_KIND.items() if isinstance(step.error, kind)), None)
    return by_kind or _BY_REASON.get(step.reason, _OTHERWISE)


def _take_turn(user: Any) -> bool:
    """Take one of the user's turns, each of which comes back after an hour. None is left where the cache is away.

    In the cache, for nothing is lost if it forgets; `add` is atomic in all that several processes share.
    """
    cache, prefix = caches[app_settings().cache], app_settings().cache_prefix
    try:
        return any(
            cache.add(f"{prefix}:test_message:{user.pk}:{turn}", True, timeout=_HOUR)
            for turn in range(MOST_AN_HOUR)
        )
    except Exception:  # noqa: BLE001  # whatever a cache raises
        return False
