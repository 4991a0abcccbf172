"""The apps' own access: on each many mailboxes hang, which look well by themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mail_oauth.admin.aliases import provider_name
from mail_oauth.admin.dashboard.findings import US, Finding, figure, mailboxes
from mail_oauth.admin.notices import Level, Notice, trouble_of
from mail_oauth.upkeep.app_troubles import COUNTED, AppTrouble


def of_apps(troubles: Iterable[AppTrouble], now: datetime) -> Iterator[Finding]:
    """Say which app's access is not in order, and how many mailboxes cannot be used for that."""
    for trouble in troubles:
        notice = trouble_of(trouble.app, now)
        if notice is None:
            continue
        yield Finding(
            level=Level.WAIT if notice.level is Level.WAIT else Level.BAD,
            who=US,
            headline=in_words(trouble, notice),
            next_step=notice.next_step,
            way=mailboxes(_("Show them"), q=str(trouble.app.pk)),
        )


def in_words(trouble: AppTrouble, notice: Notice) -> str:
    """Name the app, what is the matter with it, and how many mailboxes hang on it."""
    number = f"{figure(COUNTED)}+" if trouble.mailboxes > COUNTED else figure(trouble.mailboxes)
    words = ngettext(
        "%(provider)s: %(number)s mailbox hangs on the app's own access. %(state)s",
        "%(provider)s: %(number)s mailboxes hang on the app's own access. %(state)s",
        trouble.mailboxes,
    )
    return words % {"provider": provider_name(trouble.app.provider), "number": number, "state": notice.headline}
