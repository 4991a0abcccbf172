"""What leaves the database and the workers on purpose: dumps, the admin's history, messages and results of tasks."""

from __future__ import annotations

import io
import json

import pytest
from celery import Celery
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.test import Client

from mail_oauth import tasks
from mail_oauth.models import MailCredentials
from tests.admin.conftest import page_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def whole_life(surfer, provider, django_user_model):
    """A mailbox connected in a browser, refreshed, looked at and disconnected by an administrator; one under way."""
    surfer.connect("keycloak")
    mailbox = MailCredentials.objects.get()
    mailbox.refresh_now()
    root = Client()
    root.force_login(django_user_model.objects.create_superuser("root"))
    for operation in ("refresh_now", "rebuild_cache_entry", "pause", "resume"):
        root.post(page_of(mailbox, f"operation/{operation}/"), {"confirmed": "yes"})
    surfer.start("keycloak")
    return mailbox


def secrets_in(text: str, provider) -> set[str]:
    return {secret[:8] for secret in provider.issued if secret in text}


@pytest.mark.parametrize("form", ["json", "jsonl", "xml"])
@pytest.mark.parametrize("natural", [True, False])
def test_a_dump_of_everything(whole_life, provider, form, natural):
    dumped = io.StringIO()
    call_command("dumpdata", format=form, use_natural_foreign_keys=natural, stdout=dumped)
    assert "mail_oauth.connectattempt" in dumped.getvalue()
    assert "sessions.session" in dumped.getvalue()
    assert not secrets_in(dumped.getvalue(), provider)


def test_the_admins_history(whole_life, provider):
    entries = [f"{entry} {entry.object_repr} {entry.get_change_message()}" for entry in LogEntry.objects.all()]
    assert len(entries) == 4
    assert not secrets_in("\n".join(entries), provider)


def test_sessions(whole_life, provider):
    """Opened, as who has the site's key can: they hold what ties consents to a browser, and no secret of a provider."""
    held = [session.get_decoded() for session in Session.objects.all()]
    assert any("mail_oauth_binding" in each for each in held)
    assert not secrets_in(repr(held), provider)


@pytest.fixture
def broker(monkeypatch):
    """An application of the site that keeps results, of errors and ignored ones too, and what was sent and kept."""
    app = Celery("a_site", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.update(task_store_errors_even_if_ignored=True, result_extended=True, task_ignore_result=False)
    kept: list[str] = []

    def store(self, task_id, result, state, traceback=None, **more):
        kept.append(json.dumps(self.encode_result(result, state), default=repr))
        kept.append(repr([result, state, traceback, more]))

    monkeypatch.setattr(type(app.backend), "store_result", store)
    return app, kept


ALL = [
    tasks.refresh_due,
    tasks.refresh_batch,
    tasks.run_jobs,
    tasks.reconcile_cache,
    tasks.prune_events,
    tasks.take_survey,
]


@pytest.mark.parametrize("task", ALL, ids=lambda task: task.name)
def test_a_message_names_its_task_and_nothing_else(task, broker):
    app, _ = broker
    with app.connection_for_write() as connection:
        task.apply_async(connection=connection)
        queue = connection.SimpleQueue("celery")
        message = queue.get(timeout=5)
        message.ack()
    body, headers = json.loads(message.body), message.headers
    assert (body[0], body[1]) == ([], {})
    assert (headers["argsrepr"], headers["kwargsrepr"]) == ("()", "{}")


@pytest.mark.parametrize("task", ALL, ids=lambda task: task.name)
def test_a_result_holds_numbers(task, connect, provider):
    connect(seconds_left=3600 if task is tasks.refresh_due else -10)  # there is no broker to send a batch to
    result = task.apply()
    assert result.successful()
    assert not secrets_in(repr([result.result, result.traceback]), provider)


def test_a_task_that_crashes_tells_no_secret(connect, provider, monkeypatch, broker):
    """Not in its error, nor in what a worker or a backend makes of it."""
    from mail_oauth.refresh import verdicts

    def broken(fields):
        raise MemoryError(len(fields))

    mailbox = connect(seconds_left=-10)
    app, kept = broker
    monkeypatch.setattr(verdicts, "parse_tokens", broken)
    monkeypatch.setattr("mail_oauth.upkeep.sweep.refresh_batch", lambda **_: mailbox.refresh_now())
    result = tasks.refresh_batch.apply()
    assert isinstance(result.result, MemoryError)
    app.backend.store_result("id", result.result, "FAILURE", traceback=result.traceback)
    assert "MemoryError" in kept[0]
    assert not secrets_in("\n".join([*kept, repr(result.result), result.traceback]), provider)
