"""How a mailbox is, what to do next and by whom, in its user's words: a pure function of a row, which reads no token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials


class Level(StrEnum):
    """How a state is shown; always beside words, never by colour alone."""

    GOOD = "good"
    WAIT = "wait"
    BAD = "bad"
    OFF = "off"


class Actor(StrEnum):
    """Who must act."""

    NOBODY = "nobody"
    USER = "user"
    ADMINISTRATOR = "administrator"
    OPERATORS = "operators"


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """The state of a mailbox: in a few words, and what its user should know and do.

    `code` is the provider's own, for whoever must mend it: an administrator searches the web for it.
    """

    level: Level
    headline: str
    advice: str
    actor: Actor
    code: str = ""

    @property
    def wants_reconnecting(self) -> bool:
        """Whether the user mends it by connecting the mailbox again."""
        return self.actor is Actor.USER


def standing(row: MailCredentials, now: datetime | None = None) -> Standing:
    """Return how a mailbox is, at `now`, this moment unless told."""
    if row.status != Status.DISCONNECTED and not row.use_oauth:
        return _paused()
    if row.status in {Status.CONNECTED, Status.NEEDS_REAUTH} and not row.provider_configured:
        return _unconfigured(row)
    return _BY_STATUS[Status(row.status)](row, now or timezone.now())


def _connected(row: MailCredentials, now: datetime) -> Standing:
    expired = row.token_expiry is None or row.token_expiry <= now
    if row.refresh_failures and expired:
        return Standing(
            level=Level.WAIT,
            headline=_("Does not work at the moment"),
            advice=_("%(provider)s gives no access just now. This is tried again by itself: you need do nothing.")
            % {"provider": row.provider_name},
            actor=Actor.NOBODY,
        )
    if row.status_reason == "scope_missing":
        return Standing(
            level=Level.WAIT,
            headline=_("Works in part"),
            advice=_("Some of the access was left out. Reconnect it, and tick every box that you are shown."),
            actor=Actor.USER,
        )
    ends_at = row.refresh_token_expires_at
    if row.grant_warned_at is not None and ends_at is not None and ends_at > now:
        return Standing(
            level=Level.WAIT,
            headline=_("Works until %(day)s") % {"day": date_format(timezone.localtime(ends_at), "DATE_FORMAT")},
            advice=_("Then the access that you gave ends. Reconnect it before, and it goes on."),
            actor=Actor.USER,
        )
    return Standing(level=Level.GOOD, headline=_("Works"), advice="", actor=Actor.NOBODY)


def _paused() -> Standing:
    return Standing(
        level=Level.OFF,
        headline=_("Switched off"),
        advice=_("The operators of this site have switched it off. Ask them if you need it."),
        actor=Actor.OPERATORS,
    )


def _unconfigured(row: MailCredentials) -> Standing:
    return Standing(
        level=Level.BAD,
        headline=_("Does not work"),
        advice=_("This site no longer offers %(provider)s. Its operators can tell you why.")
        % {"provider": row.provider_name},
        actor=Actor.OPERATORS,
    )


def _needs_reauth(row: MailCredentials, _now: datetime) -> Standing:
    return Standing(
        level=Level.BAD,
        headline=_("Needs you"),
        advice=_(
            "%(provider)s no longer accepts the access that you gave: after a new password or a security check, say, or "
            "because it was withdrawn. Reconnect it, and it works again."
        )
        % {"provider": row.provider_name},
        actor=Actor.USER,
    )


def _needs_admin(row: MailCredentials, _now: datetime) -> Standing:
    return Standing(
        level=Level.BAD,
        headline=_("Needs your administrator"),
        advice=_(
            "Your organisation does not let this site into the mailbox. Ask whoever looks after your account there to "
            "allow it. Once they have, it works again by itself."
        ),
        actor=Actor.ADMINISTRATOR,
        code=row.status_reason,
    )


def _needs_attention(row: MailCredentials, _now: datetime) -> Standing:
    return Standing(
        level=Level.BAD,
        headline=_("Does not work"),
        advice=_(
            "%(provider)s refuses it without a reason that we know. The operators of this site see that too. You may try "
            "to reconnect it."
        )
        % {"provider": row.provider_name},
        actor=Actor.OPERATORS,
        code=row.status_reason,
    )


def _unreadable(row: MailCredentials, _now: datetime) -> Standing:
    if row.waits_for_operator:
        return Standing(
            level=Level.BAD,
            headline=_("Does not work"),
            advice=_(
                "This is our fault, and not yours: the operators of this site must mend it. Nothing is lost."
            ),
            actor=Actor.OPERATORS,
        )
    return Standing(
        level=Level.BAD,
        headline=_("Needs you"),
        advice=_("What is stored of it here was damaged, and is not used. Reconnect it, and it works again."),
        actor=Actor.USER,
    )


def _disconnected(_row: MailCredentials, _now: datetime) -> Standing:
    return Standing(
        level=Level.OFF,
        headline=_("Disconnected"),
        advice=_("This site has no access to it. You may connect it again at any time."),
        actor=Actor.NOBODY,
    )


_BY_STATUS: dict[Status, Callable[[MailCredentials, datetime], Standing]] = {
    Status.CONNECTED: _connected,
    Status.NEEDS_REAUTH: _needs_reauth,
    Status.NEEDS_ADMIN: _needs_admin,
    Status.NEEDS_ATTENTION: _needs_attention,
    Status.UNREADABLE: _unreadable,
    Status.DISCONNECTED: _disconnected,
}
