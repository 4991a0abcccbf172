"""Celery, where the site has it: the broker, the workers on it, and the queue of this app's tasks.

Nothing here touches the database, so that all of it may hang without holding anything else up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kombu.exceptions import KombuError

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.upkeep.doctor.findings import Outcome, doubtful, fine, unknown, wrong
from mail_oauth.upkeep.doctor.rounds import Probe, Round, foregone
from mail_oauth.upkeep.messaging import site_app

TASK = "mail_oauth.tasks.refresh_batch"

CONNECT_SECONDS = 4.0
REPLY_SECONDS = 2.0
"""How long workers may take to answer; all of that is waited for, since nobody knows how many there are."""

MANY_MESSAGES = 1000


@dataclass
class Case:
    """A Celery app, with what its workers said."""

    app: Any

    @cached_property
    def faults(self) -> tuple[type[Exception], ...]:
        """What its transport raises."""
        connection = self.app.connection_for_write()
        errors = (*connection.connection_errors, *connection.channel_errors)
        return (KombuError, OSError, NotImplementedError, *errors)

    @cached_property
    def registered(self) -> dict[str, list[str]]:
        """The tasks of each worker that answered."""
        return self.app.control.inspect(timeout=REPLY_SECONDS).registered() or {}

    @cached_property
    def consumed(self) -> dict[str, set[str]]:
        """The queues of each worker that answered."""
        found = self.app.control.inspect(timeout=REPLY_SECONDS).active_queues() or {}
        return {worker: {queue["name"] for queue in queues} for worker, queues in found.items()}

    @cached_property
    def queue(self) -> str:
        """Where this app's tasks are sent."""
        if named := app_settings().celery_queue:
            return named
        route = self.app.amqp.router.route({}, TASK)
        return str(getattr(route["queue"], "name", route["queue"]))


def _broker(case: Case) -> Iterator[Outcome]:
    try:
        made, faults = case.app.connection_for_write(connect_timeout=CONNECT_SECONDS), case.faults
    except Exception as error:  # noqa: BLE001  # kombu raises whatever comes of parsing it, and of importing a transport
        yield wrong(
            f"Celery can make nothing of the broker's URL ({type(error).__name__}).",
            "Check CELERY_BROKER_URL, and that what its transport needs is installed.",
        )
        return
    with made as connection:
        try:
            connection.ensure_connection(max_retries=0, timeout=CONNECT_SECONDS)
        except faults as error:
            yield wrong(
                f"{connection.transport_cls} cannot be reached ({type(error).__name__}).",
                "Check CELERY_BROKER_URL, and that the broker runs.",
            )
            return
        yield fine(f"{connection.transport_cls} answers.")


def _workers(case: Case) -> Iterator[Outcome]:
    try:
        answered = len(case.registered) and len(case.consumed)
    except case.faults as error:
        yield wrong(
            f"Workers cannot be asked ({type(error).__name__}).",
            "Check CELERY_BROKER_URL and CELERY_BROKER_TRANSPORT_OPTIONS.",
        )
        return
    if not answered:
        yield wrong(
            f"No worker answered within {REPLY_SECONDS:.0f} s.",
            "Start one: celery -A … worker. With cron, none is needed.",
        )
        return
    # A task with options shows them behind its name: "mail_oauth.tasks.refresh_batch [rate_limit=…]".
    knowing = [
        worker for worker, tasks in case.registered.items() if TASK in {task.partition(" ")[0] for task in tasks}
    ]
    if len(knowing) < len(case.registered):
        others = sorted(set(case.registered) - set(knowing))
        yield doubtful(
            f"Of {len(case.registered)} workers {len(knowing)} have this app's tasks; {others[0]} has not.",
            "Add app.autodiscover_tasks() to celery.py, and restart the workers.",
        )
    else:
        yield fine(f"Workers that answered, with this app's tasks: {len(knowing)}.")


def _queue(case: Case) -> Iterator[Outcome]:
    taking = [worker for worker, queues in case.consumed.items() if case.queue in queues]
    waiting = _messages(case)
    told = "" if waiting is None else f"; messages waiting: {waiting}"
    if not taking:
        plain = f"{case.app.conf.task_default_queue},{case.queue}"
        yield wrong(
            f"No worker takes from the queue {case.queue!r}, to which this app's tasks go{told}.",
            f"Start one with: celery -A … worker -Q {plain}.",
        )
    elif waiting is not None and waiting > MANY_MESSAGES:
        yield doubtful(
            f"Workers that take from the queue {case.queue!r}: {len(taking)}{told}.",
            "Give this app a queue and workers of its own: CELERY_QUEUE.",
        )
    else:
        yield fine(f"Workers that take from the queue {case.queue!r}: {len(taking)}{told}.")


def _messages(case: Case) -> int | None:
    """Return how many messages wait, as far as the transport tells; a queue that is not there has none."""
    with case.app.connection_for_write(connect_timeout=CONNECT_SECONDS) as connection:
        try:
            connection.ensure_connection(max_retries=0, timeout=CONNECT_SECONDS)
            declared = connection.default_channel.queue_declare(case.queue, passive=True)
        except connection.channel_errors:
            return 0
        except case.faults:
            return None
        return int(declared.message_count)


def _none(_: None) -> Iterator[Outcome]:
    yield unknown(
        "No Celery app is known here.",
        "With Celery, let the project's package import its celery.py; without, cron does the work.",
    )


def workers_round() -> Round:
    """Return the round of the site's Celery app."""
    try:
        app = site_app()
    except ConfigurationError as error:
        return foregone("celery", APP, wrong("The project's Celery app cannot be used.", str(error)))
    if app is None:
        return Round("celery", (APP,))
    return Round(str(app.main), PROBES, Case(app))


APP = Probe(id="celery.app", what="whether the project has a Celery app", look=_none)

PROBES = (
    Probe(id="celery.broker", what="whether the broker answers", look=_broker),
    Probe(
        id="celery.workers",
        what="whether workers answer, and have this app's tasks",
        look=_workers,
        needs="celery.broker",
    ),
    Probe(
        id="celery.queue",
        what="whether a worker takes from the queue of this app's tasks, and how many wait",
        look=_queue,
        needs="celery.workers",
    ),
)
