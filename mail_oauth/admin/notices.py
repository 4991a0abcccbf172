"""How a mailbox is, in plain words, and who must act: pure functions of a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mail_oauth.admin.moments import DASH, distance
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.managers.keeping import is_warm
from mail_oauth.managers.queryset import REFRESHABLE
from mail_oauth.managers.vocabulary import Access, Status
from mail_oauth.models import MailCredentials
from mail_oauth.refresh.lanes import Hold
from mail_oauth.refresh.verdicts import HELD_BACK

LATE = timedelta(minutes=5)
"""A sweep runs each minute; one that is later than this does not run."""


class Level(StrEnum):
    """How a state is shown; always beside words, never by colour alone."""

    GOOD = "good"
    WAIT = "wait"
    BAD = "bad"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Badge:
    """A state in a few words, for lists."""

    level: Level
    words: str


@dataclass(frozen=True, slots=True)
class Notice:
    """What is the case, and what to do next."""

    level: Level
    headline: str
    next_step: str


_LEVELS = {
    Status.CONNECTED: Level.GOOD,
    Status.NEEDS_REAUTH: Level.BAD,
    Status.NEEDS_ADMIN: Level.BAD,
    Status.NEEDS_ATTENTION: Level.BAD,
    Status.UNREADABLE: Level.BAD,
    Status.DISCONNECTED: Level.OFF,
}


def badge(row: MailCredentials, *, unreadable: bool = False) -> Badge:
    """Return the state of a mailbox in a few words; see `notices` for `unreadable`. Reads no token."""
    if row.status != Status.DISCONNECTED and not row.use_oauth:
        return Badge(Level.OFF, _("OAuth switched off"))
    if row.status == Status.CONNECTED and unreadable:
        return Badge(Level.BAD, str(Status.UNREADABLE.label))
    if row.status == Status.CONNECTED and row.refresh_failures:
        return Badge(Level.WAIT, _("connected, refresh failing"))
    if is_idle(row, timezone.now()):
        return Badge(Level.GOOD, _("connected, idle"))
    return Badge(_LEVELS[Status(row.status)], str(row.get_status_display()))


def remedy(row: MailCredentials) -> str:
    """Name the operation that helps a mailbox in its state, if there is one; staff may have others done as well."""
    if row.status == Status.DISCONNECTED:
        return ""
    if not row.use_oauth:
        return "resume"
    if row.status == Status.NEEDS_REAUTH or (row.status == Status.UNREADABLE and not row.waits_for_operator):
        return "ask_to_reconnect"
    return "refresh_now" if row.status in {Status.CONNECTED, Status.NEEDS_ADMIN, Status.NEEDS_ATTENTION} else ""


def is_idle(row: MailCredentials, now: datetime) -> bool:
    """Tell whether a mailbox that works is refreshed only when its token is asked for, which may have expired."""
    try:
        waits = row.is_connected and not row.refresh_failures and row.access != Access.SHARED
        return waits and not is_warm(row, now)
    except ConfigurationError:
        return False


def is_called(row: MailCredentials) -> bool:
    """Tell whether the provider is called for a mailbox, so that a hold concerns it."""
    return row.use_oauth and row.status in REFRESHABLE


def notices(
    row: MailCredentials,
    now: datetime,
    *,
    unreadable: bool = False,
    provider_problem: str = "",
    hold: Hold | None = None,
) -> list[Notice]:
    """Return what there is to say of a mailbox, the state first unless it is good and something else is not.

    `unreadable`: the refresh token could not be decrypted just now, whatever the status says.
    `provider_problem`: what is wrong with its alias in the settings. `hold`: what holds its calls.
    """
    state = _state(row, now, unreadable)
    more: list[Notice] = []
    if provider_problem and row.status != Status.DISCONNECTED:
        more.append(_misconfigured(provider_problem))
    if hold is not None and is_called(row):
        more.append(_held(hold, now))
    if row.is_connected and row.status_reason == "scope_missing":
        more.append(_scope_missing())
    return more if more and state.level is Level.GOOD else [state, *more]


def trouble_of(app: MailCredentials | None, now: datetime) -> Notice | None:
    """Return what is amiss with the token that an app has for all its mailboxes; None where it is in order, or there is none."""
    state = None if app is None else _state(app, now, unreadable=False)
    return None if state is None or state.level is Level.GOOD else state


def _misconfigured(problem: str) -> Notice:
    next_step = _(
        "The operator of this site must mend the settings. Until then nothing can be refreshed. In detail: %(problem)s"
    )
    return Notice(Level.BAD, _("The settings of its provider are wrong."), next_step % {"problem": problem})


def _held(hold: Hold, now: datetime) -> Notice:
    reason = {"reason": hold.reason or DASH}
    headline = _("Calls of its provider are held (%(reason)s).") % reason
    if hold.tenant:
        headline = _("Calls for its organisation are held at the provider (%(reason)s).") % reason
    next_step = _("Nobody has to act here: one call tries again; see Provider health. Next attempt: %(when)s.") % {
        "when": distance(now + timedelta(seconds=hold.seconds), now)
    }
    return Notice(Level.WAIT, headline, next_step)


def _scope_missing() -> Notice:
    next_step = _(
        "What needs the missing ones fails, such as sending. The user must connect the mailbox again and allow "
        "everything that is asked; the scopes are listed below."
    )
    return Notice(Level.WAIT, _("The provider grants fewer mail scopes than were asked for."), next_step)


def _state(row: MailCredentials, now: datetime, unreadable: bool) -> Notice:
    if row.status == Status.DISCONNECTED:
        return _disconnected(row, now)
    if not row.use_oauth:
        return _switched_off()
    if unreadable and row.status == Status.CONNECTED:
        return _unreadable()
    return _BY_STATUS[Status(row.status)](row) or _connected(row, now)


def _disconnected(row: MailCredentials, now: datetime) -> Notice:
    headline = _("This mailbox is disconnected. Since: %(when)s.") % {"when": distance(row.status_changed_at, now)}
    next_step = _("Its user connects it again if it is still needed. Nobody else has to act.")
    if row.is_app_only:
        next_step = _("It has no user: add it again if it is still needed. Nobody else has to act.")
    if row.refresh_at is not None:
        next_step = _("Its grant could not be revoked at the provider yet. Next attempt: %(when)s.") % {
            "when": distance(row.refresh_at, now)
        }
    return Notice(Level.OFF, headline, next_step)


def _switched_off() -> Notice:
    headline = _("OAuth is switched off for this mailbox.")
    next_step = _(
        "Its tokens are kept, and neither used nor refreshed. “Switch OAuth on” takes it into use again."
    )
    return Notice(Level.OFF, headline, next_step)


def _needs_reauth(row: MailCredentials) -> Notice:
    headline = _("The provider no longer accepts this grant (%(reason)s).") % {"reason": row.status_reason or DASH}
    next_step = _(
        "The user must connect the mailbox again; nothing on this page can do it for them. “Ask to reconnect” sends "
        "them a link."
    )
    if row.is_app_only:
        next_step = _("It has no user: add it again if it is still needed. Nobody else has to act.")
    return Notice(Level.BAD, headline, next_step)


def _needs_admin(row: MailCredentials) -> Notice:
    headline = _("The user's organisation blocks this mailbox (%(reason)s).") % {
        "reason": row.status_reason or DASH
    }
    next_step = _("The organisation's administrator must allow it at the provider. Then press “Refresh now”.")
    if row.is_app_only:
        headline = _("The provider does not let the app in (%(reason)s).") % {"reason": row.status_reason or DASH}
    return Notice(Level.BAD, headline, next_step)


def _needs_attention(row: MailCredentials) -> Notice:
    headline = _(
        "The provider refuses this mailbox again and again, with a code that is not known (%(reason)s)."
    ) % {"reason": row.status_reason or DASH}
    next_step = _(
        "The operator of this site must find out at the provider what it means. The grant is kept and tried again "
        "from time to time; “Refresh now” does not wait."
    )
    return Notice(Level.BAD, headline, next_step)


def _unreadable() -> Notice:
    next_step = _(
        "The operator of this site must look at the token below. A missing key that is put back (into FERNET_KEYS, or "
        "wherever keys come from) mends it by itself, and nothing is lost; after a value was altered, the user must "
        "connect the mailbox again."
    )
    return Notice(Level.BAD, _("The stored tokens cannot be decrypted."), next_step)


_BY_STATUS: dict[Status, Callable[[MailCredentials], Notice | None]] = {
    Status.NEEDS_REAUTH: _needs_reauth,
    Status.NEEDS_ADMIN: _needs_admin,
    Status.NEEDS_ATTENTION: _needs_attention,
    Status.UNREADABLE: lambda _row: _unreadable(),
    Status.CONNECTED: lambda row: _by_shared_token() if row.access == Access.SHARED else None,
}


def _by_shared_token() -> Notice:
    headline = _("Connected, by the token that the app has for all its mailboxes.")
    return Notice(Level.GOOD, headline, _("Nobody has to act."))


def _connected(row: MailCredentials, now: datetime) -> Notice:
    when = {"when": distance(row.refresh_at, now)}
    if row.last_refresh_error.endswith(HELD_BACK):
        return _held_back(row, when)
    if row.refresh_failures:
        return _failing(row, when)
    if row.lease_owner and row.refresh_at and row.refresh_at > now:
        return Notice(Level.GOOD, _("Connected; a worker is refreshing it."), _("Nobody has to act."))
    if row.refresh_at is not None and row.refresh_at < now - LATE:
        headline = _("Connected, but its refresh is late. It was due: %(when)s.") % when
        next_step = _("Look whether the sweep runs: Celery beat and a worker, or “manage.py mail_oauth refresh”.")
        return Notice(Level.WAIT, headline, next_step)
    if row.refresh_at is None:
        next_step = _("No refresh is planned. Press “Refresh now” to plan the next one.")
        return Notice(Level.WAIT, _("Connected, but nothing keeps it so."), next_step)
    return _in_order(row, now, when)


def _in_order(row: MailCredentials, now: datetime, when: dict[str, str]) -> Notice:
    if is_idle(row, now):
        next_step = (
            _("Nobody has to act. It is refreshed to keep its grant alive. At the latest: %(when)s.") % when
        )
        return Notice(Level.GOOD, _("Connected; idle: refreshed when it is asked for."), next_step)
    next_step = _("Nobody has to act. Next refresh: %(when)s.") % when
    return Notice(Level.GOOD, _("Connected."), next_step)


def _failing(row: MailCredentials, when: dict[str, str]) -> Notice:
    headline = ngettext(
        "Connected, but the last refresh failed (%(reason)s).",
        "Connected, but the last %(number)d refreshes failed (%(reason)s).",
        row.refresh_failures,
    ) % {"number": row.refresh_failures, "reason": row.last_refresh_error or DASH}
    next_step = (
        _("The grant is kept, and tried again by itself; “Refresh now” does not wait. Next attempt: %(when)s.")
        % when
    )
    return Notice(Level.WAIT, headline, next_step)


def _held_back(row: MailCredentials, when: dict[str, str]) -> Notice:
    """Say that the brake keeps a refused grant from its user for now."""
    headline = _(
        "The provider refused this grant and so many others at once that its user is not told yet (%(reason)s)."
    )
    next_step = _(
        "Nobody has to act here: it is tried again, and the user is told only if it is refused again; see Provider "
        "health. Next attempt: %(when)s."
    )
    return Notice(
        Level.WAIT, headline % {"reason": row.last_refresh_error.removesuffix(HELD_BACK)}, next_step % when
    )
