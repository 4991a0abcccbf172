"""How everything is, in words: what is not well, who must act, and where; pure functions of an overview."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mail_oauth.admin.dashboard.apps import of_apps
from mail_oauth.admin.dashboard.findings import US, Finding, figure
from mail_oauth.admin.dashboard.grants import by_status, of_keys, of_mailboxes
from mail_oauth.admin.dashboard.lanes import of_lanes
from mail_oauth.admin.dashboard.work import of_reconciliation, of_survey, of_sweeps
from mail_oauth.admin.notices import Level
from mail_oauth.managers.vocabulary import Status
from mail_oauth.upkeep.overview import Overview
from mail_oauth.upkeep.survey import Survey


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """The whole in two sentences, and what there is to say, the worst first."""

    level: Level
    headline: str
    words: str
    findings: tuple[Finding, ...]


def summarise(seen: Overview) -> Summary:
    """Say how everything is."""
    findings = tuple(sorted(_findings(seen), key=lambda each: each.level is not Level.BAD))
    level, headline = Level.GOOD, _("All is well. Nobody has to act.")
    if any(each.level is Level.BAD for each in findings):
        level, headline = Level.BAD, _("Something is wrong that this site's operators must mend.")
    elif findings:
        level, headline = Level.WAIT, _("It works, but not everything is as it should be.")
    return Summary(level=level, headline=headline, words=_words(seen.survey), findings=findings)


def _words(survey: Survey | None) -> str:
    if survey is None:
        return ""
    total, connected = survey.status.mailboxes, by_status(survey)[Status.CONNECTED]
    words = ngettext(
        "%(connected)s of %(total)s mailbox is connected.",
        "%(connected)s of %(total)s mailboxes are connected.",
        total,
    )
    return (
        words % {"connected": figure(connected), "total": figure(total)}
        if total
        else _("There is no mailbox yet.")
    )


def _findings(seen: Overview) -> Iterator[Finding]:
    if seen.trouble:
        headline = _("The settings cannot be used, so that little can be shown.")
        yield Finding(
            level=Level.BAD,
            who=US,
            headline=headline,
            next_step=_("In detail: %(problem)s") % {"problem": seen.trouble},
        )
    yield from of_sweeps(seen)
    yield from of_lanes(seen)
    yield from of_apps(seen.apps, seen.now)
    if seen.survey is not None:
        yield from of_keys(seen.survey)
        yield from of_mailboxes(seen.survey)
    yield from of_reconciliation(seen)
    yield from of_survey(seen)
