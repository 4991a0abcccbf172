"""How everything is, in a handful of queries whatever the number of mailboxes: what the dashboard is drawn from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils import timezone

from mail_oauth import bulk
from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.managers.queryset import MailCredentialsQuerySet
from mail_oauth.models import MailCredentials, ProviderHealth, RefreshCount, UpkeepReport
from mail_oauth.upkeep import reconcile, survey
from mail_oauth.upkeep.app_troubles import AppTrouble, app_troubles
from mail_oauth.upkeep.doctor.work import RECONCILED_WITHIN, SWEEPS, SWEEPS_WITHIN, silence_allowed
from mail_oauth.upkeep.pulse import last_beats
from mail_oauth.upkeep.survey import Survey

DAYS = 7
"""How far back calls are counted."""

DUE_COUNTED = 10_000
"""Above so many due mailboxes it is not told how many more there are."""

LANES_SHOWN = 50
"""So many lanes that are held are shown."""

WORKS = (*SWEEPS, "reconcile_cache", "prune_events", "take_survey")
"""Upkeep that leaves a mark when it was done."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pulse:
    """When upkeep was last seen. `error` says why that is not known: "private", or what the cache raised."""

    seen: Mapping[str, datetime | None] = field(default_factory=dict)
    error: str = ""
    sweeps_late: bool = False
    reconciliation_late: bool = False

    @property
    def swept_at(self) -> datetime | None:
        """When anything last looked for due mailboxes."""
        return max((seen for work in SWEEPS if (seen := self.seen.get(work))), default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reconciled:
    """What the last walk over the whole table found; `drift` by cause."""

    at: datetime
    walked: int
    drift: Mapping[str, int]
    repaired: int
    left: int
    cache_error: str
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """How everything is at `now`.

    `survey` is None where the mailboxes were not counted so far; `live`: they were counted just now. `hours` are calls
    by hour and outcome, `lately` those of the last hour by provider. Of `due` mailboxes at most `DUE_COUNTED` + 1 are
    counted, the longest due since `oldest_due`. `apps`: whose token for many mailboxes is not in order. `trouble`: what is wrong with the settings, so that little is known.
    """

    now: datetime
    survey: Survey | None
    live: bool
    reconciled: Reconciled | None
    hours: Mapping[tuple[datetime, str], int]
    lately: Mapping[str, Counter[str]]
    held: tuple[ProviderHealth, ...]
    more_held: bool
    due: int
    oldest_due: datetime | None
    pulse: Pulse
    apps: tuple[AppTrouble, ...] = ()
    trouble: str = ""


def overview() -> Overview:
    """Look at everything. What the cache raises is told, not raised, as are mistakes in the settings."""
    now, using = timezone.now(), MailCredentials.objects.write_alias()
    kept = UpkeepReport.objects.using(using).named([survey.NAME, reconcile.NAME])
    counts = RefreshCount.objects.using(using)
    held = ProviderHealth.objects.using(using).filter(held=True).order_by("provider", "tenant", "trouble")
    lanes = tuple(held[: LANES_SHOWN + 1])
    rows: MailCredentialsQuerySet = MailCredentials.objects.using(using)
    due = rows.due()
    taken, live, trouble = _survey(kept.get(survey.NAME))
    return Overview(
        now=now,
        survey=taken,
        live=live,
        reconciled=_reconciled(kept.get(reconcile.NAME)),
        hours=counts.by_hour(now - timedelta(days=DAYS)),
        lately=counts.by_provider(now - timedelta(hours=1)),
        held=lanes[:LANES_SHOWN],
        more_held=len(lanes) > LANES_SHOWN,
        due=due.order_by()[: DUE_COUNTED + 1].count(),
        oldest_due=due.order_by("refresh_at").values_list("refresh_at", flat=True).first(),
        pulse=_pulse(now),
        apps=app_troubles(),
        trouble=trouble,
    )


def _survey(kept: UpkeepReport | None) -> tuple[Survey | None, bool, str]:
    try:
        live = survey.is_small()
        return survey.survey(kept, live=live), live, ""
    except ConfigurationError as error:
        return None, False, str(error)


def _reconciled(kept: UpkeepReport | None) -> Reconciled | None:
    """Read what was kept; None for what another release wrote otherwise."""
    if kept is None:
        return None
    try:
        return Reconciled(
            at=kept.made_at,
            walked=int(kept.content["walked"]),
            drift={str(cause): int(number) for cause, number in kept.content["drift"].items()},
            repaired=int(kept.content["repaired"]),
            left=int(kept.content["left"]),
            cache_error=str(kept.content["cache_error"]),
            seconds=float(kept.content["seconds"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _pulse(now: datetime) -> Pulse:
    try:
        if bulk.is_private(app_settings().cache):
            return Pulse(error="private")
        seen = last_beats(WORKS)
    except Exception as error:  # noqa: BLE001  # whatever a cache backend raises
        return Pulse(error=type(error).__name__)
    swept, reconciled = Pulse(seen=seen).swept_at, seen["reconcile_cache"]
    return Pulse(
        seen=seen,
        sweeps_late=swept is None or now - swept > silence_allowed(SWEEPS[0], SWEEPS_WITHIN),
        reconciliation_late=reconciled is None
        or now - reconciled > silence_allowed("reconcile_cache", RECONCILED_WITHIN),
    )
