"""The cache beside the database, in words; what differs is judged as reconciliation judges it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext, pgettext_lazy

from mail_oauth.admin.moments import Moment, moment
from mail_oauth.admin.notices import Level
from mail_oauth.cache import Header
from mail_oauth.models import MailCredentials
from mail_oauth.upkeep.drift import COLUMNS, Drift, RowState, drift

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise


@dataclass(frozen=True, slots=True)
class Finding:
    """How the cached copy stands to the row: a word, and what it means."""

    level: Level
    word: _StrOrPromise
    note: _StrOrPromise


_REBUILD = gettext_lazy("Reconciliation puts it right; “Rebuild cache entry” does it now.")
_FINDINGS = {
    Drift.ABSENT: Finding(
        Level.OFF, pgettext_lazy("cached copy", "absent"), gettext_lazy("The next use fills it from the database.")
    ),
    Drift.OLDER: Finding(Level.WAIT, pgettext_lazy("cached copy", "older"), _REBUILD),
    Drift.NEWER: Finding(
        Level.BAD,
        pgettext_lazy("cached copy", "newer"),
        gettext_lazy(
            "A refresh may just have ended: reload. If it stays so, the database has lost a generation "
            "(was it restored from a backup?): rebuild the cache entry."
        ),
    ),
    Drift.OTHER: Finding(Level.BAD, gettext_lazy("another token"), _REBUILD),
    Drift.BURIED: Finding(Level.WAIT, gettext_lazy("tombstone over a working mailbox"), _REBUILD),
    Drift.UNUSABLE: Finding(Level.BAD, gettext_lazy("token of a mailbox out of use"), _REBUILD),
    Drift.EXPIRED: Finding(Level.WAIT, pgettext_lazy("cached copy", "expired"), _REBUILD),
}
_SAME_TOKEN = Finding(
    Level.GOOD,
    pgettext_lazy("cached copy", "older"),
    gettext_lazy("An earlier generation, but the row's own token: harmless."),
)
_NOTHING = Finding(
    Level.OFF,
    pgettext_lazy("cached copy", "absent"),
    gettext_lazy("The row has no valid token, so there is nothing to hold."),
)
_TOMBSTONE = Finding(
    Level.GOOD,
    pgettext_lazy("cached copy", "in step"),
    gettext_lazy("A tombstone keeps late tokens away until a new one comes."),
)
_IN_STEP = Finding(
    Level.GOOD, pgettext_lazy("cached copy", "in step"), gettext_lazy("The cache holds the row's own token.")
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """What one side holds."""

    holds: str
    generation: int | None = None
    expires: Moment


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Both sides, and what their difference means."""

    finding: Finding
    cached: Side
    stored: Side


def compare(row: MailCredentials, header: Header | None, now: datetime) -> Comparison:
    """Compare a row with the header of its cached copy; None: the cache has none."""
    return Comparison(finding=_finding(row, header, now), cached=_cached(header, now), stored=_stored(row, now))


def unreachable(row: MailCredentials, fault: str, now: datetime) -> Comparison:
    """Describe the row beside a cache that did not answer; `fault` is the name of its error."""
    note = _("Tokens come from the database meanwhile, more slowly; nothing is lost. The cache said: %(fault)s.")
    return Comparison(
        finding=Finding(Level.BAD, _("cache not reachable"), note % {"fault": fault}),
        cached=Side(holds=pgettext("what the cache holds", "unknown"), expires=moment(None, now)),
        stored=_stored(row, now),
    )


def _finding(row: MailCredentials, header: Header | None, now: datetime) -> Finding:
    state = RowState(*(getattr(row, column) for column in COLUMNS))
    cause = drift(state, header, now)
    if cause is Drift.OLDER and header is not None and state.describes(header):
        return _SAME_TOKEN
    if cause is not None:
        return _FINDINGS[cause]
    if header is None:
        return _NOTHING
    return _IN_STEP if header.expiry else _TOMBSTONE


def _cached(header: Header | None, now: datetime) -> Side:
    if header is None:
        return Side(holds=pgettext("what the cache holds", "nothing"), expires=moment(None, now))
    if not header.expiry:
        return Side(holds=_("a tombstone"), generation=header.generation, expires=moment(None, now))
    expires = moment(datetime.fromtimestamp(header.expiry, UTC), now)
    return Side(holds=_("an access token"), generation=header.generation, expires=expires)


def _stored(row: MailCredentials, now: datetime) -> Side:
    holds = _("no access token") if row.access_token is None else _("an access token")
    return Side(holds=holds, generation=row.generation, expires=moment(row.token_expiry, now))
