"""Whether upkeep is done at all: when sweeps, reconciliation and pruning were last seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

from celery.schedules import maybe_schedule
from django.utils import timezone

from mail_oauth import bulk
from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.upkeep.doctor.findings import Outcome, doubtful, fine, unknown
from mail_oauth.upkeep.doctor.rounds import Probe, Round
from mail_oauth.upkeep.messaging import site_app
from mail_oauth.upkeep.pulse import last_beats

SWEEPS = ("refresh_due", "refresh_batch")
"""Beat's task, and the sweep itself, which cron may run as well."""

SWEEPS_WITHIN = timedelta(minutes=10)
RECONCILED_WITHIN = timedelta(hours=1)
PRUNED_WITHIN = timedelta(days=2)
"""After so long without it something is amiss: ten, six and two intervals of the schedule as it is by default."""

INTERVALS = 6
"""So many intervals may pass where a site has beat come more rarely than that."""


def _seen(
    works: tuple[str, ...], least: timedelta, hint: str, *, rare: bool = False
) -> Callable[[None], Iterator[Outcome]]:
    """Make a look for the last of some works, the first of them a task; that a `rare` one was not seen says little."""

    def look(_: None) -> Iterator[Outcome]:
        if bulk.is_private(app_settings().cache):
            yield unknown(
                "The cache is private to a process: what others did cannot be told.", "See mail_oauth.W003."
            )
            return
        try:
            beats = last_beats(works)
        except Exception as error:  # noqa: BLE001  # whatever a cache backend raises
            yield unknown(f"The cache cannot say ({type(error).__name__}).")
            return
        seen = {work: timezone.now() - when for work, when in beats.items() if when is not None}
        if not seen:
            never = f"{' or '.join(works)} was not seen since the cache was emptied, if ever."
            yield unknown(never, hint) if rare else doubtful(never, hint)
            return
        ago = ", ".join(f"{work} {_duration(since)} ago" for work, since in seen.items())
        if min(seen.values()) > silence_allowed(works[0], least):
            yield doubtful(f"Last seen: {ago}.", hint)
        else:
            yield fine(f"Last seen: {ago}.")

    return look


def silence_allowed(work: str, least: timedelta) -> timedelta:
    """Return how long a task may not be seen before something is amiss; longer where beat sends it more rarely."""
    return max(least, INTERVALS * _interval(work))


def _interval(work: str) -> timedelta:
    """Return how often beat sends a task, if it does so at an interval and by the settings; else nothing."""
    try:
        app = site_app()
    except ConfigurationError:  # celery.app says so
        return timedelta()
    entries = app.conf.beat_schedule.values() if app else ()
    schedules = [entry.get("schedule") for entry in entries if entry.get("task") == f"mail_oauth.tasks.{work}"]
    every = [getattr(maybe_schedule(schedule), "run_every", None) for schedule in schedules]
    return max((span for span in every if isinstance(span, timedelta)), default=timedelta())


def _duration(span: timedelta) -> str:
    seconds = max(span.total_seconds(), 0.0)
    for name, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"


def work_round() -> Round:
    """Return the round of what beat, or cron, has done."""
    return Round("beat or cron", PROBES)


PROBES = (
    Probe(
        id="work.sweeps",
        what=f"whether anything looked for due mailboxes within {_duration(SWEEPS_WITHIN)}",
        look=_seen(
            SWEEPS,
            SWEEPS_WITHIN,
            "Run beat and a worker (`celery -A … worker --beat`), or let cron run `manage.py mail_oauth refresh`.",
        ),
    ),
    Probe(
        id="work.reconciliation",
        what=f"whether the cache was compared with the table within {_duration(RECONCILED_WITHIN)}",
        look=_seen(
            ("reconcile_cache",),
            RECONCILED_WITHIN,
            "Run beat with this app's schedule, or let cron run `manage.py mail_oauth reconcile`.",
        ),
    ),
    Probe(
        id="work.pruning",
        what=f"whether old history was deleted within {_duration(PRUNED_WITHIN)}",
        look=_seen(
            ("prune_events",),
            PRUNED_WITHIN,
            "Run beat with this app's schedule, or let cron run `manage.py mail_oauth prune`.",
            rare=True,
        ),
    ),
)
