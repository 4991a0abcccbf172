"""One operation on many mailboxes: a job, whose mailboxes workers take one by one.

As everywhere, they pull: a message says no more than that there is work, each mailbox is taken by one conditional
UPDATE, and what a worker held that died is taken by another once its time is over. An operation may so be done twice,
which each of them bears; what is told of a mailbox is what came of the last time.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.contrib.admin.models import CHANGE, LogEntry
from django.db import IntegrityError, router, transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import get_language, gettext_lazy, override

from mail_oauth.managers.clock import DatabaseNow
from mail_oauth.models import BulkItem, BulkJob, ItemState, MailCredentials
from mail_oauth.operations.catalogue import OPERATIONS
from mail_oauth.operations.contract import Operation, Order, Result, perform

logger = logging.getLogger(__name__)

MOST = 10_000
"""So many mailboxes one job takes."""

TAKEN_SECONDS = 300
"""For how long a mailbox is a worker's: longer than signing in by three protocols takes."""

_LOOK_AHEAD = 20
"""Among so many waiting mailboxes one is chosen, so that workers seldom want the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a job is, by numbers of mailboxes."""

    total: int
    done: int
    failed: int

    @property
    def over(self) -> int:
        """Those that nobody will do any more."""
        return self.done + self.failed

    @property
    def waiting(self) -> int:
        """Those still to do."""
        return self.total - self.over


def order_job(operation: Operation, pks: Iterable[UUID], order: Order) -> BulkJob:
    """Write down what is to be done to which mailboxes; nobody has begun it yet.

    It is done for as long as its actor may: what nobody orders is never begun.
    """
    rows = [BulkItem(mailbox=pk) for pk in pks]
    using = router.db_for_write(BulkJob)
    job = BulkJob(
        operation=operation.name,
        actor=order.actor,
        origin=order.origin,
        language=get_language() or "",
        total=len(rows),
    )
    with transaction.atomic(using=using):
        job.save(using=using)
        for row in rows:
            row.job = job
        BulkItem.objects.using(using).bulk_create(rows, batch_size=500)
    return job


def open_jobs() -> QuerySet[BulkJob]:
    """Jobs with mailboxes that somebody is to do."""
    return BulkJob.objects.using(router.db_for_write(BulkJob)).filter(ended_at__isnull=True)


def _known_jobs() -> QuerySet[BulkJob]:
    """Leave out what another release orders, whose workers do it."""
    return open_jobs().filter(operation__in=list(OPERATIONS))


def work(
    job: BulkJob | None = None, *, seconds: float, stopped: Callable[[], bool] = lambda: False
) -> dict[str, Any]:
    """Do what waits, of one job or of all in turn, until nothing waits, `seconds` are over, or `stopped()`.

    Returns how many mailboxes were `done` and `failed`, and how it `ended`: ``"done"``, ``"time"`` or ``"stopped"``.
    """
    give_up_at = time.monotonic() + seconds
    counts = {"done": 0, "failed": 0}
    ended = ""
    jobs = _known_jobs().order_by("created_at")
    waiting = list(jobs if job is None else jobs.filter(pk=job.pk))
    while waiting and not ended:
        each = _as_it_is(waiting.pop(0))
        item = _take(each) if _is_wanted(each) else None
        if item is not None:
            counts[_do(each, item).value] += 1
            waiting.append(each)  # a long job keeps no short one waiting
            ended = "stopped" if stopped() else "time" if time.monotonic() > give_up_at else ""
        if item is None or ended:
            _end(each)
    ended = ended or "done"
    logger.info("jobs: %s, ended: %s", counts, ended, extra={"action": "jobs", **counts, "outcome": ended})
    return {**counts, "ended": ended}


def _as_it_is(job: BulkJob) -> BulkJob:
    """Read a job anew, with its actor, who remembers no permission of a moment ago; itself where it is gone."""
    jobs = BulkJob.objects.using(router.db_for_write(BulkJob))
    return jobs.select_related("actor").filter(pk=job.pk).first() or job


def _is_wanted(job: BulkJob) -> bool:
    """Tell whether the one who ordered a job may still do so; if not, stop it."""
    actor: Any = job.actor
    at_home = actor is not None and actor.is_active and actor.is_staff
    if at_home and permits(actor, OPERATIONS[job.operation].permissions):
        return True
    stop(job)
    return False


def permits(user: Any, names: Iterable[str]) -> bool:
    """Tell whether somebody has any of these permissions on mailboxes, such as ``"pause"``."""
    return any(user.has_perm(f"mail_oauth.{name}_mailcredentials") for name in names)


def forsaken() -> bool:
    """Tell whether something waits and nobody is at work: whoever was called is dead, or was never reached."""
    if not _known_jobs().exists():
        return False
    at_work = _items().filter(state=ItemState.WAITING, taken_until__gt=DatabaseNow())
    return not at_work.filter(job__in=_known_jobs()).exists()


def stop(job: BulkJob) -> bool:
    """Begin no more mailboxes of a job; False where it had ended."""
    return bool(open_jobs().filter(pk=job.pk).update(stopped=True, ended_at=timezone.now()))


def progress_of(job: BulkJob) -> Progress:
    """Count, by one query."""
    items = _items().filter(job=job).order_by()
    counted = dict(items.values_list("state").annotate(number=Count("pk")))
    return Progress(total=job.total, done=counted.get(ItemState.DONE, 0), failed=counted.get(ItemState.FAILED, 0))


def _items() -> QuerySet[BulkItem]:
    return BulkItem.objects.using(router.db_for_write(BulkItem))


def _take(job: BulkJob) -> BulkItem | None:
    """Take a mailbox that nobody is at; None where there is none, or the job was stopped."""
    free = _items().filter(
        Q(taken_until__isnull=True) | Q(taken_until__lte=DatabaseNow()), job=job, state=ItemState.WAITING
    )
    running = Exists(open_jobs().filter(pk=OuterRef("job")))
    until = DatabaseNow() + timedelta(seconds=TAKEN_SECONDS)
    while pks := list(free.filter(running).order_by("pk").values_list("pk", flat=True)[:_LOOK_AHEAD]):
        for pk in pks:
            owner = uuid4().hex
            if free.filter(pk=pk).update(owner=owner, taken_until=until):
                return _items().get(pk=pk)
    return None


def _do(job: BulkJob, item: BulkItem) -> ItemState:
    operation = OPERATIONS[job.operation]
    order = Order(actor=job.actor, origin=job.origin)
    with override(job.language or None):
        row, result = _performed(operation, item.mailbox, order)
        if row is not None and job.actor is not None:
            log_operation(job.actor, operation, row, result)
    state = ItemState.DONE if result.done else ItemState.FAILED
    ours = _items().filter(pk=item.pk, owner=item.owner)
    ours.update(state=state, text="\n".join((str(result.text), *result.lines)), taken_until=None)
    return state


def _performed(operation: Operation, pk: UUID, order: Order) -> tuple[MailCredentials | None, Result]:
    """Do it to one mailbox. Whatever goes wrong with it, the others have their turn."""
    rows = MailCredentials.objects.using(MailCredentials.objects.write_alias())
    row = rows.filter(pk=pk).first()
    if row is None:
        return None, Result(False, gettext_lazy("it was deleted meanwhile"), reason="deleted")
    try:
        return row, perform(operation, row, order)
    except Exception as error:
        logger.exception("%s of mailbox %s failed", operation.name, pk, extra={"action": "jobs"})
        return row, Result(False, type(error).__name__, reason="failed")


def _end(job: BulkJob) -> None:
    """Close a job of which nothing waits: what a dead worker holds still does."""
    waiting = _items().filter(job=OuterRef("pk"), state=ItemState.WAITING)
    open_jobs().filter(~Exists(waiting), pk=job.pk).update(ended_at=timezone.now())


def log_operation(actor: Any, operation: Operation, row: MailCredentials, result: Result) -> None:
    """Write an operation to the log of the admin, in English: others read it than who had it done.

    The log goes with its actor: of one who was deleted meanwhile it takes nothing.
    """
    log: Any = LogEntry.objects  # it only walks along what it is given
    with override(None), suppress(IntegrityError), transaction.atomic(using=router.db_for_write(LogEntry)):
        log.log_actions(actor.pk, [row], CHANGE, f"{operation.label}: {result.text}.")
