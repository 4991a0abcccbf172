"""Whether upkeep is done: sweeps, reconciliation, and the count of the mailboxes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mail_oauth.admin.dashboard.findings import NOBODY, US, Finding, figure, mailboxes
from mail_oauth.admin.moments import distance
from mail_oauth.admin.notices import Level
from mail_oauth.upkeep.overview import Overview
from mail_oauth.upkeep.status import LATE

SURVEY_WITHIN = timedelta(minutes=30)
"""A count that is older shows that nobody counts any more."""


def of_sweeps(seen: Overview) -> Iterator[Finding]:
    """Say whether anything refreshes the mailboxes, and in time."""
    waiting = seen.oldest_due is not None and seen.oldest_due < seen.now - LATE
    has_any = seen.survey is not None and seen.survey.status.mailboxes > 0
    if seen.pulse.error not in {"", "private"}:
        yield _cache_away(seen)
    elif not seen.pulse.error and seen.pulse.sweeps_late and (waiting or has_any):
        yield _no_sweeps(seen, Level.BAD if waiting else Level.WAIT)
        return
    if waiting:
        yield _late(seen)


def _cache_away(seen: Overview) -> Finding:
    return Finding(
        level=Level.BAD,
        who=US,
        headline=_("The cache does not answer (%(error)s).") % {"error": seen.pulse.error},
        next_step=_("See whether Redis runs. Meanwhile tokens come from the database, and nothing is lost."),
    )


def _no_sweeps(seen: Overview, level: Level) -> Finding:
    headline = _("Nothing refreshes the mailboxes: no sweep was seen since the cache was emptied.")
    if seen.pulse.swept_at is not None:
        headline = _("Nothing refreshes the mailboxes. Last sweep seen: %(when)s.") % {
            "when": distance(seen.pulse.swept_at, seen.now)
        }
    next_step = _("Start Celery's beat and a worker, or let cron run “manage.py mail_oauth refresh”.")
    return Finding(level=level, who=US, headline=headline, next_step=next_step)


def _late(seen: Overview) -> Finding:
    next_step = _(
        "If it stays so, run more workers, or raise BATCH_TASKS and REFRESH_THREADS: “manage.py mail_oauth forecast” "
        "says by how much."
    )
    if seen.held:
        next_step = _("Calls of a provider are held; what is late is made up for when they are made again.")
    return Finding(
        level=Level.WAIT,
        who=NOBODY if seen.held else US,
        headline=_("Refreshes come late. Longest due: %(when)s.") % {"when": distance(seen.oldest_due, seen.now)},
        next_step=next_step,
        way=mailboxes(_("Show late mailboxes"), time="late"),
    )


def of_reconciliation(seen: Overview) -> Iterator[Finding]:
    """Say whether cache and table are compared, and agree."""
    last = seen.reconciled
    if last is not None and last.cache_error:
        yield Finding(
            level=Level.WAIT,
            who=US,
            headline=_("The last reconciliation could not reach the cache (%(error)s).")
            % {"error": last.cache_error},
            next_step=_("See whether Redis runs. The next reconciliation repairs what it finds."),
        )
    elif last is not None and last.left:
        headline = ngettext(
            "%(shown)s cached copy that differs from its row was left by the last reconciliation.",
            "%(shown)s cached copies that differ from their rows were left by the last reconciliation.",
            last.left,
        )
        yield Finding(
            level=Level.WAIT,
            who=NOBODY,
            headline=headline % {"shown": figure(last.left)},
            next_step=_("One mends RECONCILE_REPAIRS of them at the most; the next ones go on."),
        )
    if not seen.pulse.error and seen.pulse.reconciliation_late and (last is not None or seen.pulse.swept_at):
        yield Finding(
            level=Level.WAIT,
            who=US,
            headline=_("The cache was not compared with the table lately."),
            next_step=_("Add beat's schedule of this app, or let cron run “manage.py mail_oauth reconcile”."),
        )


def of_survey(seen: Overview) -> Iterator[Finding]:
    """Say whether what is shown of a large table is of these days."""
    if seen.trouble or seen.live:
        return
    if seen.survey is None:
        headline = _("The mailboxes were not counted yet.")
    elif seen.survey.taken_at < seen.now - SURVEY_WITHIN:
        headline = _("The count of the mailboxes is old. Last count: %(when)s.") % {
            "when": distance(seen.survey.taken_at, seen.now)
        }
    else:
        return
    next_step = _(
        "Press “Count now”. So that it is done by itself, add beat's schedule of this app, or let cron run “manage.py "
        "mail_oauth survey”."
    )
    yield Finding(level=Level.WAIT, who=US, headline=headline, next_step=next_step)
