"""The tables of the dashboard, from the numbers of an overview."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext, pgettext_lazy

from mail_oauth.admin.aliases import configured_aliases, provider_name
from mail_oauth.admin.dashboard.findings import ADMINISTRATORS, USERS, Way, figure, mailboxes
from mail_oauth.admin.dashboard.grants import by_status, orphans
from mail_oauth.admin.filters import NOT_CONFIGURED
from mail_oauth.admin.moments import distance
from mail_oauth.admin.notices import Badge, Level
from mail_oauth.managers.vocabulary import CountedOutcome, Status
from mail_oauth.upkeep.drift import Drift
from mail_oauth.upkeep.overview import DUE_COUNTED, Overview, Reconciled
from mail_oauth.upkeep.status import GroupStatus
from mail_oauth.upkeep.survey import Survey

_EXTRAS = {
    "switched_off": (gettext_lazy("OAuth switched off"), {"use_oauth__exact": "0"}),
    "failing": (gettext_lazy("last refresh failed"), {"failing": "yes"}),
    "overdue": (gettext_lazy("refresh overdue"), {"time": "late"}),
    "ending": (gettext_lazy("grant ends soon"), {"time": "ending"}),
}
"""What is counted across the states, by the name in `GroupStatus`, with the filter that shows it."""

_DRIFT = {
    Drift.ABSENT: gettext_lazy("nothing stood there"),
    Drift.OLDER: gettext_lazy("older than the row"),
    Drift.NEWER: gettext_lazy("newer than the row: was the database restored?"),
    Drift.OTHER: gettext_lazy("another token of the same generation"),
    Drift.BURIED: gettext_lazy("a tombstone under a mailbox that works"),
    Drift.UNUSABLE: gettext_lazy("a token under a mailbox that cannot be used"),
    Drift.EXPIRED: gettext_lazy("a token that has expired"),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """A number or word of a table, and the list that shows what it counts."""

    text: str
    way: Way | None = None
    badge: Badge | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """A table with its heading; the first cell of each row names it. `note` stands under the heading."""

    key: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    note: str = ""
    wide: bool = False


def panels(seen: Overview) -> list[Panel]:
    """Return every table that there is something to show in."""
    made = [_work(seen), _providers(seen)]
    if seen.survey is not None:
        made = [_waiting(seen.survey), _mailboxes(seen.survey), *made]
        made += [_keys(seen.survey)] if seen.survey.keys else []
    return made if seen.reconciled is None else [*made, _drift(seen.reconciled, seen.now)]


def _waiting(survey: Survey) -> Panel:
    numbers = by_status(survey)
    rows = (
        (USERS, numbers[Status.NEEDS_REAUTH], {"status__exact": Status.NEEDS_REAUTH.value}),
        (ADMINISTRATORS, numbers[Status.NEEDS_ADMIN], {"status__exact": Status.NEEDS_ADMIN.value}),
        (
            _("This site's operators: refused for an unknown reason"),
            numbers[Status.NEEDS_ATTENTION],
            {"status__exact": Status.NEEDS_ATTENTION.value},
        ),
        (
            _("This site's operators: unreadable"),
            numbers[Status.UNREADABLE],
            {"status__exact": Status.UNREADABLE.value},
        ),
        (_("This site's operators: provider not in the settings"), orphans(survey), {"provider": NOT_CONFIGURED}),
    )
    return Panel(
        key="waiting",
        title=_("What needs whom"),
        head=(_("Who must act"), pgettext("column", "Mailboxes")),
        rows=tuple((str(who), (_number(number, query),)) for who, number, query in rows),
    )


def _number(number: int, query: Mapping[str, str]) -> Cell:
    return Cell(figure(number), mailboxes("", **query) if number else None)


def _mailboxes(survey: Survey) -> Panel:
    """Count by status and provider, with the sums, and what goes across the states."""
    groups = survey.status.groups
    aliases = [alias for alias in configured_aliases() if any(each.provider == alias for each in groups)]
    aliases += sorted({each.provider for each in groups} - set(aliases))

    def row(
        words: str, query: Mapping[str, str], of: Callable[[GroupStatus], int]
    ) -> tuple[str, tuple[Cell, ...]]:
        cells = [_number(sum(map(of, groups)), query)]
        for alias in aliases:
            number = sum(of(each) for each in groups if each.provider == alias)
            cells.append(_number(number, {**query, "provider": alias}))
        return words, tuple(cells)

    states = [row(str(status.label), {"status__exact": status.value}, _in(status)) for status in Status]
    extras = [row(str(words), query, _sum_of(name)) for name, (words, query) in _EXTRAS.items()]
    everything = row(pgettext("row of sums", "all"), {}, lambda each: each.mailboxes)
    return Panel(
        key="mailboxes",
        title=_("Mailboxes by status and provider"),
        head=(pgettext("column", "Status"), pgettext("column", "All"), *map(provider_name, aliases)),
        rows=(*states, everything, *extras),
        note=_("Each number leads to its mailboxes. The last rows count across the states."),
        wide=True,
    )


def _in(status: Status) -> Callable[[GroupStatus], int]:
    return lambda each: each.mailboxes if each.status == status else 0


def _sum_of(name: str) -> Callable[[GroupStatus], int]:
    return lambda each: int(getattr(each, name))


def _providers(seen: Overview) -> Panel:
    """Say of each provider whether its calls are held, and what became of those of the last hour."""
    aliases = dict.fromkeys([*configured_aliases(), *sorted(seen.lately), *(row.provider for row in seen.held)])
    return Panel(
        key="providers",
        title=_("Providers"),
        head=(
            pgettext("column", "Provider"),
            pgettext("column", "Calls"),
            pgettext("column", "Refreshed"),
            pgettext("column", "Not"),
        ),
        rows=tuple((provider_name(alias), _provider(seen, alias)) for alias in aliases),
        note=_("Whether calls are made or held, and what became of those of the last hour."),
    )


def _provider(seen: Overview, alias: str) -> tuple[Cell, ...]:
    held = [row for row in seen.held if row.provider == alias]
    badge = Badge(Level.GOOD, pgettext("calls of a provider", "made"))
    if held:
        whole = any(not row.tenant for row in held)
        badge = Badge(
            Level.BAD,
            pgettext("calls of a provider", "held")
            if whole
            else pgettext("calls of a provider", "held for organisations"),
        )
    way = Way("", "providerhealth", {"held__exact": "1", "provider": alias}) if held else None
    numbers = seen.lately.get(alias, Counter())
    granted = numbers.get(CountedOutcome.GRANTED, 0)
    return (
        Cell("", way, badge),
        Cell(figure(granted)),
        Cell(figure(sum(numbers.values()) - granted)),
    )


def _work(seen: Overview) -> Panel:
    due = f"{figure(DUE_COUNTED)}+" if seen.due > DUE_COUNTED else figure(seen.due)
    unknown = {"": "", "private": _("not known: each process has a cache of its own")}.get(
        seen.pulse.error, _("not known: the cache does not answer")
    )

    def last(work: str) -> Cell:
        return Cell(unknown or _ago(seen.pulse.seen.get(work), seen.now))

    counted = _("just now, for this page") if seen.live else pgettext("last counted", "never")
    if seen.survey is not None and not seen.live:
        counted = distance(seen.survey.taken_at, seen.now)
    rows = (
        (_("Beat's last tick"), last("refresh_due")),
        (_("Last sweep that ended"), last("refresh_batch")),
        (_("Due now"), Cell(due)),
        (_("Longest due"), Cell(distance(seen.oldest_due, seen.now) if seen.oldest_due else _("nothing waits"))),
        (_("Last reconciliation"), last("reconcile_cache")),
        (_("Old history deleted"), last("prune_events")),
        (_("Mailboxes counted"), Cell(counted)),
    )
    return Panel(
        key="work",
        title=_("Upkeep"),
        head=(pgettext("column", "What"), pgettext("column", "When, or how many")),
        rows=tuple((words, (cell,)) for words, cell in rows),
    )


def _ago(at: datetime | None, now: datetime) -> str:
    return distance(at, now) if at else pgettext("last run", "not seen")


def _drift(last: Reconciled, now: datetime) -> Panel:
    causes = {cause: last.drift.get(cause.value, 0) for cause in Drift}
    words = _(
        "Last time: %(when)s, in %(seconds).1f s. Mailboxes walked: %(walked)s; copies repaired: %(repaired)s; left: %(left)s."
    )
    return Panel(
        key="drift",
        title=_("Cached copies that differed from their rows"),
        head=(pgettext("column", "Cause"), pgettext("column", "Copies")),
        rows=tuple((str(_DRIFT[cause]), (Cell(figure(number)),)) for cause, number in causes.items() if number),
        note=words
        % {
            "walked": figure(last.walked),
            "when": distance(last.at, now),
            "seconds": last.seconds,
            "repaired": figure(last.repaired),
            "left": figure(last.left),
        },
    )


_ROLES = {
    "seals": pgettext_lazy("key", "seals and opens"),
    "opens": pgettext_lazy("key", "opens only"),
    "MISSING": pgettext_lazy("key", "missing"),
}


def _keys(survey: Survey) -> Panel:
    return Panel(
        key="keys",
        title=_("Keys in use"),
        head=(pgettext("column", "Key"), pgettext("column", "Grants"), _("What it does")),
        rows=tuple(
            (each.key, (Cell(figure(each.values)), Cell(str(_ROLES.get(each.role, each.role)))))
            for each in survey.keys
        ),
    )
