"""The cache beside the database: which of the two is ahead."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from django.db.models import TextChoices
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mail_oauth.admin.moments import Moment, moment
from mail_oauth.admin.notices import Level
from mail_oauth.cache import Header
from mail_oauth.models import MailCredentials


class Agreement(TextChoices):
    """How the cached copy stands to the row."""

    IN_STEP = "in_step", gettext_lazy("in step")
    ABSENT = "absent", gettext_lazy("absent")
    OLDER = "older", gettext_lazy("older")
    NEWER = "newer", gettext_lazy("newer")
    CONTRARY = "contrary", gettext_lazy("contradicts the row")
    UNREACHABLE = "unreachable", gettext_lazy("cache not reachable")


_LEVELS = {
    Agreement.IN_STEP: Level.GOOD,
    Agreement.ABSENT: Level.OFF,
    Agreement.OLDER: Level.WAIT,
    Agreement.NEWER: Level.BAD,
    Agreement.CONTRARY: Level.BAD,
    Agreement.UNREACHABLE: Level.BAD,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """What one side holds."""

    holds: str
    generation: int | None = None
    expires: Moment


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Both sides, and what their difference means."""

    agreement: Agreement
    note: str
    cached: Side
    stored: Side

    @property
    def level(self) -> Level:
        """How the agreement is shown."""
        return _LEVELS[self.agreement]


def compare(row: MailCredentials, header: Header | None, now: datetime) -> Comparison:
    """Compare a row with the header of its cached copy; None: the cache has none."""
    agreement, note = _judge(row, header)
    return Comparison(agreement=agreement, note=note, cached=_cached(header, now), stored=_stored(row, now))


def unreachable(row: MailCredentials, fault: str, now: datetime) -> Comparison:
    """Describe the row beside a cache that did not answer; `fault` is the name of its error."""
    note = _("Tokens come from the database meanwhile, more slowly; nothing is lost. The cache said: %(fault)s.")
    return Comparison(
        agreement=Agreement.UNREACHABLE,
        note=note % {"fault": fault},
        cached=Side(holds=_("unknown"), expires=moment(None, now)),
        stored=_stored(row, now),
    )


def _judge(row: MailCredentials, header: Header | None) -> tuple[Agreement, str]:
    if header is None:
        if row.is_connected:
            return Agreement.ABSENT, _("The next use fills it from the database.")
        return Agreement.ABSENT, _("The mailbox is out of use, so there is nothing to hold.")
    if header.generation > row.generation:
        return Agreement.NEWER, _(
            "Reload: a refresh may just have ended. If it stays so, the database has lost a generation "
            "(was it restored from a backup?): rebuild the cache entry."
        )
    if header.generation < row.generation:
        return _older(row, header)
    if not row.is_connected or not header.expiry:
        return _out_of_use(row, header)
    if header.expiry == _expiry(row):
        return Agreement.IN_STEP, _("The cache holds the row's own token.")
    return Agreement.CONTRARY, _("The same generation with another expiry: rebuild the cache entry.")


def _older(row: MailCredentials, header: Header) -> tuple[Agreement, str]:
    if not header.expiry:
        return Agreement.OLDER, _("A tombstone of an earlier generation; the next use replaces it.")
    if header.expiry == _expiry(row) and row.is_connected:
        return Agreement.OLDER, _("An earlier generation, but the same token: harmless.")
    return Agreement.OLDER, _("Reconciliation puts it right; “Rebuild cache entry” does it now.")


def _out_of_use(row: MailCredentials, header: Header) -> tuple[Agreement, str]:
    if not row.is_connected and not header.expiry:
        return Agreement.IN_STEP, _("The mailbox is out of use, and a tombstone keeps late tokens away.")
    if header.expiry:
        return Agreement.CONTRARY, _("A token of a mailbox that is out of use: rebuild the cache entry.")
    return Agreement.CONTRARY, _("A tombstone for a mailbox that is in use: rebuild the cache entry.")


def _expiry(row: MailCredentials) -> int | None:
    return int(row.token_expiry.timestamp()) if row.token_expiry else None


def _cached(header: Header | None, now: datetime) -> Side:
    if header is None:
        return Side(holds=_("nothing"), expires=moment(None, now))
    if not header.expiry:
        return Side(holds=_("a tombstone"), generation=header.generation, expires=moment(None, now))
    expires = moment(datetime.fromtimestamp(header.expiry, UTC), now)
    return Side(holds=_("an access token"), generation=header.generation, expires=expires)


def _stored(row: MailCredentials, now: datetime) -> Side:
    holds = _("no access token") if row.access_token is None else _("an access token")
    return Side(holds=holds, generation=row.generation, expires=moment(row.token_expiry, now))
