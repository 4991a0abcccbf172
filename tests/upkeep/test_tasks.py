"""Celery: what beat sends exists, says nothing secret, and does no harm when it is sent twice."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, current_app
from kombu import Connection

from mail_oauth import tasks
from mail_oauth.beat import mail_oauth_beat_schedule
from mail_oauth.models import MailCredentials


@pytest.fixture
def app() -> Iterator[Celery]:
    """A project's Celery app, on a broker in memory."""
    before = current_app._get_current_object()
    made = Celery("project", broker="memory://", set_as_current=False)
    made.set_current()
    yield made
    with made.connection() as connection:
        for queue in ("celery", "mail"):
            connection.default_channel.queue_purge(queue)
    made.close()
    before.set_current()


def messages(app: Celery, queue: str = "celery") -> list[Any]:
    """Take what waits in a queue."""
    connection: Connection
    with app.connection() as connection:
        found = []
        with connection.SimpleQueue(queue) as waiting:
            while len(waiting):
                found.append(waiting.get(block=False))
                found[-1].ack()
    return found


def run(app: Celery, message: Any) -> Any:
    """Do as a worker does with a message."""
    args, kwargs, _ = message.payload
    return app.tasks[message.headers["task"]].apply(args, kwargs, throw=True).get()


class TestTheSchedule:
    def test_names_existing_tasks(self, app):
        for entry in mail_oauth_beat_schedule().values():
            assert entry["task"] in app.tasks

    def test_every_entry_expires_and_none_before_its_next_turns(self):
        for interval in (1, 5, 60, 3600):
            entries = mail_oauth_beat_schedule(interval).values()
            assert all(entry["options"]["expires"] > 0 for entry in entries)
            assert mail_oauth_beat_schedule(interval)["mail_oauth.refresh_due"]["schedule"] == interval
            assert (
                mail_oauth_beat_schedule(interval)["mail_oauth.refresh_due"]["options"]["expires"] >= 10 * interval
            )

    def test_carries_no_arguments(self):
        assert not any({"args", "kwargs"} & set(entry) for entry in mail_oauth_beat_schedule().values())

    def test_is_importable_before_django_is_set_up(self):
        script = textwrap.dedent(
            """
            import os
            from mail_oauth.beat import mail_oauth_beat_schedule
            from celery import Celery
            from django.apps import apps
            from django.conf import settings
            app = Celery("project")
            app.conf.beat_schedule |= mail_oauth_beat_schedule()
            assert len(app.conf.beat_schedule) == 5
            assert not settings.configured and not apps.ready
            assert not Celery("another").conf.beat_schedule
            """
        )
        clean = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", script], env=clean, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.django_db
class TestATick:
    def test_enqueues_nothing_when_nothing_is_due(self, app, connect):
        connect()
        assert tasks.refresh_due() == 0
        assert messages(app) == []

    def test_enqueues_no_more_than_it_may(self, app, due, settings):
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "BATCH_SIZE": 1, "BATCH_TASKS": 3}
        due(9)
        assert tasks.refresh_due() == 3
        assert len(messages(app)) == 3

    def test_that_is_doubled_refreshes_once(self, app, due, provider):
        rows = due(3)
        for _ in range(2):
            tasks.refresh_due.apply_async()
        for _ in range(2):
            [run(app, message) for message in messages(app)]
        assert [len(provider.token_calls("refresh_token", email=row.email)) for row in rows] == [1, 1, 1]

    def test_that_was_lost_changes_nothing_but_the_time(self, app, due):
        due(2)
        tasks.refresh_due()
        messages(app)  # lost
        tasks.refresh_due()
        [result] = [run(app, message) for message in messages(app)]
        assert (result["refreshed"], result["ended"]) == (2, "done")


@pytest.mark.django_db
class TestAMessage:
    @pytest.fixture
    def sent(self, app, due) -> list[Any]:
        due(2)
        for entry in mail_oauth_beat_schedule().values():
            app.tasks[entry["task"]].apply_async(**entry["options"])
        first = messages(app)
        [run(app, message) for message in first]
        return [*first, *messages(app)]

    def test_names_a_task_and_nothing_else(self, sent):
        assert sorted(message.headers["task"].rpartition(".")[2] for message in sent) == [
            "prune_events",
            "reconcile_cache",
            "refresh_batch",
            "refresh_due",
            "send_notices",
            "take_survey",
        ]
        assert all(message.payload[:2] == [[], {}] for message in sent)

    def test_holds_no_token_and_no_mailbox(self, sent, provider):
        texts = [json.dumps([message.headers, message.payload], default=str) for message in sent]
        for row in MailCredentials.objects.all():
            assert not any(str(row.pk) in text or row.email in text for text in texts)
        assert not any(secret in text for secret in provider.issued for text in texts)

    def test_expires_and_asks_for_no_result(self, sent):
        assert all(message.headers["expires"] and message.headers["ignore_result"] for message in sent)

    def test_of_a_batch_ends_softly_when_it_takes_too_long(self, sent):
        [batch] = [message for message in sent if message.headers["task"].endswith("refresh_batch")]
        assert batch.headers["timelimit"] == [None, 110]

    def test_goes_to_the_queue_that_is_set(self, app, due, settings):
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "CELERY_QUEUE": "mail"}
        due(1)
        tasks.refresh_due.delay()
        [tick] = messages(app, "mail")
        run(app, tick)
        assert len(messages(app, "mail")) == 1
        assert messages(app) == []


@pytest.mark.django_db
def test_results_are_numbers_that_json_can_carry(due, provider):
    due(1)
    results = [
        tasks.refresh_batch(),
        tasks.reconcile_cache(),
        tasks.prune_events(),
        tasks.refresh_due(),
        tasks.send_notices(),
    ]
    results.append(tasks.take_survey())
    text = json.dumps(results)
    assert json.loads(text)[0]["refreshed"] == 1
    assert not any(secret in text for secret in provider.issued)
