"""Celery tasks: thin skins over `mail_oauth.upkeep` and `mail_oauth.notices`.

A message names a task and nothing else: which mailboxes are due, and their tokens, workers read from the
database. A message is therefore only a nudge. It is acknowledged before the work begins and no result is
kept: what a lost or doubled one leaves undone, the next tick of beat does.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from celery import Task, shared_task
from celery.signals import worker_init, worker_process_shutdown, worker_shutting_down

from mail_oauth.conf import app_settings
from mail_oauth.connect.disconnect import retry_revocation
from mail_oauth.notices import run as notices
from mail_oauth.operations.jobs import forsaken, work
from mail_oauth.upkeep import prune, pulse, reconcile, rekey, survey, sweep
from mail_oauth.upkeep.stopping import StopSign
from mail_oauth.usage import uses

if TYPE_CHECKING:
    _Task = Task[..., Any]
else:
    _Task = Task

stop_sign = StopSign()


class UpkeepTask(_Task):
    """A task that goes to `CELERY_QUEUE` if that is set, else wherever the project sends its tasks."""

    abstract = True
    acks_late = False
    ignore_result = True

    def apply_async(self, args: Any = None, kwargs: Any = None, *more: Any, **options: Any) -> Any:
        """Send the message; the queue is read from the settings at each one."""
        if queue := app_settings().celery_queue:
            options.setdefault("queue", queue)
        return super().apply_async(args, kwargs, *more, **options)


@shared_task(base=UpkeepTask)
def refresh_due() -> int:
    """Enqueue as many batches as the due mailboxes are worth, at most `BATCH_TASKS`; return how many."""
    settings = app_settings()
    wanted = sweep.batches_wanted()
    limit = settings.batch_seconds + settings.lease_seconds
    for _ in range(wanted):
        refresh_batch.apply_async(expires=max(settings.batch_seconds * 10, 300), soft_time_limit=limit)
    if forsaken():
        run_jobs.apply_async(expires=max(settings.batch_seconds * 10, 300))
    pulse.beat("refresh_due")
    return wanted


@shared_task(base=UpkeepTask)
def refresh_batch() -> dict[str, Any]:
    """Refresh due mailboxes until none is left, the time is over, or the worker is told to stop."""
    return asdict(sweep.refresh_batch(revoke=retry_revocation, stopped=stop_sign.raised))


@shared_task(base=UpkeepTask)
def run_jobs() -> dict[str, Any]:
    """Go on with bulk actions for `BATCH_SECONDS`; if that was not enough, enqueue itself once more."""
    report = work(seconds=app_settings().batch_seconds, stopped=stop_sign.raised)
    if report["ended"] == "time":
        run_jobs.apply_async()
    return report


@shared_task(base=UpkeepTask)
def reconcile_cache() -> dict[str, Any]:
    """Make the cache agree with the table."""
    return asdict(reconcile.reconcile_cache())


@shared_task(base=UpkeepTask)
def rotate_keys() -> dict[str, Any]:
    """Seal values under the first key for `BATCH_SECONDS`; if that was not enough, enqueue itself once more.

    Beat does not send it: whoever changes keys does.
    """
    report = rekey.rotate_keys(seconds=app_settings().batch_seconds, stopped=stop_sign.raised)
    if report.ended == "time":
        rotate_keys.apply_async()
    return asdict(report)


@shared_task(base=UpkeepTask)
def take_survey() -> None:
    """Count the mailboxes, for the dashboard and for metrics."""
    survey.take_survey()


@shared_task(base=UpkeepTask)
def send_notices() -> dict[str, Any]:
    """Mail users and operators of mailboxes that need somebody, as `NOTIFY` says."""
    return asdict(notices.send_notices(stopped=stop_sign.raised))


@shared_task(base=UpkeepTask)
def prune_events() -> int:
    """Delete old events and consents that were never finished."""
    return prune.prune_events()


@worker_init.connect
def _share_stop_sign(**_: Any) -> None:
    """Come before the pool forks, so that its children see what the main process is told."""
    stop_sign.share()


@worker_shutting_down.connect
def _raise_stop_sign(**_: Any) -> None:
    stop_sign.raise_()


@worker_process_shutdown.connect
def _finish_marks(**_: Any) -> None:
    """A child of the pool ends without what Python does at the end of a process."""
    uses.finish()
