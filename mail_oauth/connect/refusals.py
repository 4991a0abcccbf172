"""Why a mailbox was not connected, in the words that its user is shown, and the way out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mail_oauth.exceptions import ConfigurationError, ConnectRefused, SealError, TransportError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """`title` and `text` for the page; which ways out it offers. No way out is the operator's to mend."""

    title: Promise
    text: Promise
    try_again: bool = True
    ask_address: bool = False
    may_replace: bool = False


REFUSALS = {
    "bad_request": Refusal(
        title=_("This link is not valid"),
        text=_("The answer of the mail provider could not be read. Please start again."),
    ),
    "bad_state": Refusal(
        title=_("Please start again"),
        text=_(
            "This sign-in has expired, was already used, or was started in another browser or by another "
            "user. Nothing was changed."
        ),
    ),
    "bad_link": Refusal(
        title=_("This link does not work"),
        text=_(
            "It has expired, was already used, was followed by a newer one, or is for another user: then sign in as the "
            "one who got it. Nothing was changed."
        ),
        try_again=False,
    ),
    "start_again": Refusal(
        title=_("Please start again"),
        text=_("The mail provider no longer accepts this sign-in; it may have taken too long."),
    ),
    "declined": Refusal(
        title=_("You did not allow access"),
        text=_("Your mailbox was not connected. A mailbox that was connected before still is."),
    ),
    "scope_missing": Refusal(
        title=_("Access to mail was not granted"),
        text=_("Reading or sending mail was left out when you gave consent. Please tick every box."),
    ),
    "no_refresh_token": Refusal(
        title=_("The provider gave no lasting access"),
        text=_(
            "Without it your mailbox would be disconnected within the hour. Remove this site from the apps "
            "in your account at the provider, then connect again and allow offline access."
        ),
    ),
    "wrong_account": Refusal(
        title=_("This is another account"),
        text=_(
            "You signed in with an account other than the one this mailbox was connected with. Sign in with "
            "the same account, or replace the mailbox by the other account."
        ),
        may_replace=True,
    ),
    "already_connected": Refusal(
        title=_("This account is connected already"),
        text=_("It is in the list of your mailboxes; nothing was changed."),
    ),
    "held_by_another": Refusal(
        title=_("Somebody else has connected this mailbox"),
        text=_("On this site a mailbox can be connected by one user only. Nothing was changed."),
    ),
    "too_many_starts": Refusal(
        title=_("Too many attempts"),
        text=_("You have begun to connect mailboxes too often. Please try again later; nothing was changed."),
        try_again=False,
    ),
    "mail_scope": Refusal(
        title=_("This consent does not open your mail"),
        text=_(
            "The mail server wants more than was granted. Please try again and tick every box; if that does not help, "
            "tell the operators of this site. Nothing was changed."
        ),
    ),
    "mail_access": Refusal(
        title=_("You have no access to this mailbox"),
        text=_(
            "You signed in, but the mail server does not open this mailbox to you: it is not there, or is not shared "
            "with you. Ask its owner or your administrator. Nothing was changed."
        ),
    ),
    "mail_switched_off": Refusal(
        title=_("Access for mail programs is switched off"),
        text=_(
            "Your mail provider lets no program open this mailbox. Switch it on (IMAP, POP or SMTP) in your account's "
            "settings, or ask your administrator, then try again. Nothing was changed."
        ),
    ),
    "mail_refused": Refusal(
        title=_("The mail server did not let you in"),
        text=_(
            "It did not say why. Please see whether the address is that of your mailbox, and whether access for mail "
            "programs (IMAP, POP or SMTP) is switched on in your account's settings. Nothing was changed."
        ),
        ask_address=True,
    ),
    "mailbox_gone": Refusal(
        title=_("This mailbox is no longer here"),
        text=_("It was deleted while you were at the mail provider. You can connect it anew."),
    ),
    "not_saved": Refusal(
        title=_("The mailbox could not be saved"),
        text=_("The mail provider agreed, but something failed here. Please try again in a few minutes."),
    ),
    "no_address": Refusal(
        title=_("Which address is it?"),
        text=_("The provider did not say which address your mailbox has. Please type it."),
        ask_address=True,
    ),
    "admin_required": Refusal(
        title=_("Your administrator must agree"),
        text=_("Your organisation lets its users connect this app only after an administrator approved it."),
    ),
    "provider_unavailable": Refusal(
        title=_("The mail provider does not answer"),
        text=_("Please try again in a few minutes. Nothing was changed."),
    ),
    "provider_error": Refusal(
        title=_("The mail provider refused"),
        text=_("It did not say why. Please try again, or ask the operators of this site."),
    ),
    "wrong_issuer": Refusal(
        title=_("The answer came from somebody else"),
        text=_("It was not sent by the provider that you chose, so it was not used. Please start again."),
    ),
    "no_id_token": Refusal(
        title=_("The provider did not say who you are"),
        text=_("Without that no mailbox is connected. Please tell the operators of this site."),
    ),
    "no_identity": Refusal(
        title=_("The provider did not say who you are"),
        text=_("Without that no mailbox is connected. Please tell the operators of this site."),
    ),
    "bad_id_token": Refusal(
        title=_("The provider's answer could not be verified"),
        text=_("So it was not used, and nothing was changed. Please tell the operators of this site."),
    ),
    "misconfigured": Refusal(
        title=_("This site is not set up for this provider"),
        text=_("Its operators must correct the settings; trying again does not help."),
        try_again=False,
    ),
}
"""By the `code` of `ConnectRefused`."""


@contextmanager
def faults_refused(alias: str) -> Iterator[None]:
    """Turn faults of calls, settings and keys into refusals; what lies behind them goes to the log.

    Without the traceback: error trackers print the locals of its frames, where requests lie open.
    """
    try:
        yield
    except (TransportError, ConfigurationError, SealError) as error:
        code = "provider_unavailable" if isinstance(error, TransportError) else "misconfigured"
        about = {"action": "connect", "provider": alias, "outcome": code}
        logger.error("connect failed: %s", error, extra=about)
    else:
        return
    raise ConnectRefused(code)
