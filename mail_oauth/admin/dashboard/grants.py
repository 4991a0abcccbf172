"""The mailboxes that do not work, or not for long, and their keys: how many, and who can mend them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, ngettext_lazy, pgettext

from mail_oauth.admin.aliases import configured_aliases
from mail_oauth.admin.dashboard.findings import ADMINISTRATORS, NOBODY, US, USERS, Finding, figure, mailboxes
from mail_oauth.admin.filters import NOT_CONFIGURED
from mail_oauth.admin.notices import Level
from mail_oauth.managers.vocabulary import Status
from mail_oauth.upkeep.keys import Role
from mail_oauth.upkeep.survey import Survey

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kind:
    """A kind of mailboxes that somebody should know of: `words` for a number of them, and the filter that shows them."""

    name: str
    level: Level
    who: _StrOrPromise
    words: _StrOrPromise
    next_step: _StrOrPromise
    query: dict[str, str] = field(default_factory=dict)


def by_status(survey: Survey) -> dict[str, int]:
    """Return how many mailboxes are in each state."""
    numbers = dict.fromkeys(Status.values, 0)
    for group in survey.status.groups:
        numbers[group.status] = numbers.get(group.status, 0) + group.mailboxes
    return numbers


def orphans(survey: Survey) -> int:
    """Return how many mailboxes are of providers that the settings no longer have."""
    known = set(configured_aliases())
    groups = survey.status.groups
    return sum(
        each.mailboxes for each in groups if each.status != Status.DISCONNECTED and each.provider not in known
    )


def of_mailboxes(survey: Survey) -> Iterator[Finding]:
    """Say how many wait for whom."""
    groups = survey.status.groups
    numbers = {
        **by_status(survey),
        "orphans": orphans(survey),
        "failing": sum(each.failing for each in groups),
        "ending": sum(each.ending for each in groups),
    }
    for kind in _KINDS:
        if number := numbers[kind.name]:
            headline = str(kind.words % {"number": number, "shown": figure(number)})
            way = mailboxes(_("Show them"), **kind.query)
            yield Finding(
                level=kind.level, who=kind.who, headline=headline, next_step=str(kind.next_step), way=way
            )


def of_keys(survey: Survey) -> Iterator[Finding]:
    """Say whether a key is missing that grants are sealed under."""
    missing = [each for each in survey.keys if each.role == Role.MISSING.value and each.values]
    if missing:
        number = sum(each.values for each in missing)
        headline = ngettext(
            "%(shown)s grant is sealed under a key that this site lacks (%(keys)s).",
            "%(shown)s grants are sealed under keys that this site lacks (%(keys)s).",
            number,
        )
        yield Finding(
            level=Level.BAD,
            who=US,
            headline=headline
            % {
                "shown": figure(number),
                "keys": pgettext("between the members of a list", ", ").join(each.key for each in missing),
            },
            next_step=_("Put it back where the keys come from, and nothing is lost. See docs/keys.md."),
        )


_KINDS = (
    _Kind(
        name=Status.UNREADABLE.value,
        level=Level.BAD,
        who=US,
        words=ngettext_lazy(
            "%(shown)s mailbox cannot be decrypted.", "%(shown)s mailboxes cannot be decrypted.", "number"
        ),
        next_step=gettext_lazy(
            "“manage.py mail_oauth key_status --prove” says why. A key that is put back mends them by itself."
        ),
        query={"status__exact": Status.UNREADABLE.value},
    ),
    _Kind(
        name=Status.NEEDS_ATTENTION.value,
        level=Level.BAD,
        who=US,
        words=ngettext_lazy(
            "%(shown)s mailbox is refused with a code that is not known.",
            "%(shown)s mailboxes are refused with codes that are not known.",
            "number",
        ),
        next_step=gettext_lazy(
            "Look the reasons up at the provider. The grants are kept, and tried again from time to time."
        ),
        query={"status__exact": Status.NEEDS_ATTENTION.value},
    ),
    _Kind(
        name="orphans",
        level=Level.BAD,
        who=US,
        words=ngettext_lazy(
            "%(shown)s mailbox is of a provider that the settings do not have.",
            "%(shown)s mailboxes are of providers that the settings do not have.",
            "number",
        ),
        next_step=gettext_lazy('Put the provider back into MAIL_OAUTH["PROVIDERS"], or disconnect them.'),
        query={"provider": NOT_CONFIGURED},
    ),
    _Kind(
        name=Status.NEEDS_ADMIN.value,
        level=Level.WAIT,
        who=ADMINISTRATORS,
        words=ngettext_lazy(
            "%(shown)s mailbox is blocked by its user's organisation.",
            "%(shown)s mailboxes are blocked by their users' organisations.",
            "number",
        ),
        next_step=gettext_lazy(
            "Administrators must allow the app there. The mailboxes are tried again; “Refresh now” does not wait."
        ),
        query={"status__exact": Status.NEEDS_ADMIN.value},
    ),
    _Kind(
        name=Status.NEEDS_REAUTH.value,
        level=Level.WAIT,
        who=USERS,
        words=ngettext_lazy(
            "%(shown)s mailbox must be connected again.", "%(shown)s mailboxes must be connected again.", "number"
        ),
        next_step=gettext_lazy("Only their users can: the provider ended these grants. Their own page says so."),
        query={"status__exact": Status.NEEDS_REAUTH.value},
    ),
    _Kind(
        name="ending",
        level=Level.WAIT,
        who=USERS,
        words=ngettext_lazy("%(shown)s grant ends soon.", "%(shown)s grants end soon.", "number"),
        next_step=gettext_lazy("Whoever connects the mailbox again before that notices nothing."),
        query={"time": "ending"},
    ),
    _Kind(
        name="failing",
        level=Level.WAIT,
        who=NOBODY,
        words=ngettext_lazy(
            "%(shown)s mailbox was not refreshed at the last try.",
            "%(shown)s mailboxes were not refreshed at the last try.",
            "number",
        ),
        next_step=gettext_lazy("They are tried again by themselves. The list shows what the provider answered."),
        query={"failing": "yes"},
    ),
)
"""The worst first."""
