"""What providers hold, and the sites' own mistakes for which they do."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mail_oauth.admin.aliases import provider_name
from mail_oauth.admin.dashboard.findings import PROVIDER, US, Finding, Way
from mail_oauth.admin.lanes import what_to_do
from mail_oauth.admin.moments import DASH, span
from mail_oauth.admin.notices import Level
from mail_oauth.managers.vocabulary import TroubleKind
from mail_oauth.models import ProviderHealth
from mail_oauth.upkeep.overview import Overview

LANES_TOLD = 5
"""So many held lanes are told of one by one."""


def of_lanes(seen: Overview) -> Iterator[Finding]:
    """Say what holds the calls of providers, one by one up to a point."""
    for row in seen.held[:LANES_TOLD]:
        yield _held(row, seen)
    more = len(seen.held) - LANES_TOLD
    if more > 0:
        number = f"{more}+" if seen.more_held else str(more)
        headline = ngettext("%(number)s more lane is held.", "%(number)s more lanes are held.", more)
        headline %= {"number": number}
        way = Way(_("Provider health"), "providerhealth", {"held__exact": "1"})
        yield Finding(level=Level.WAIT, who=US, headline=headline, next_step=_("They are listed there."), way=way)


_OURS = {TroubleKind.CLIENT, TroubleKind.CONFIGURATION}


def _held(row: ProviderHealth, seen: Overview) -> Finding:
    lane = provider_name(row.provider)
    lane = f"{lane} / {row.tenant}" if row.tenant else lane
    ours = row.trouble in _OURS
    held = span((seen.now - row.held_since).total_seconds()) if row.held_since else DASH
    words = {"lane": lane, "trouble": row.get_trouble_display(), "reason": row.reason or DASH, "span": held}
    headline = _("%(lane)s: %(trouble)s (%(reason)s). Held for: %(span)s.")
    return Finding(
        level=Level.BAD if ours else Level.WAIT,
        who=US if ours or row.trouble == TroubleKind.REAUTH else PROVIDER,
        headline=headline % words,
        next_step=what_to_do(row),
        way=Way(_("Try now, or release"), "providerhealth", {"held__exact": "1", "provider": row.provider}),
    )
