"""Broker, workers and their queue, as far as Celery tells: with real workers, and without any."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mail_oauth.testing.provider import FakeProvider
from mail_oauth.upkeep.doctor import examination
from tests.worker.stack import Stack, on_filesystem

DOCTOR = textwrap.dedent("""
    import django

    from tests.worker import celery_app

    django.setup()

    from django.core.management import call_command

    call_command("mail_oauth", "doctor", "--json")
""")


@pytest.mark.django_db
class TestWithoutAWorker:
    def test_a_site_without_celery_is_told_of_cron(self, doctor):
        found = doctor().of("celery.app")
        assert (found["level"], "cron" in found["hint"]) == ("skipped", True)

    def test_a_broker_that_is_away(self, doctor, celery_app):
        doctor.never.append("broker-password")
        examined = doctor()
        found = examined.of("celery.broker")
        assert (found["level"], found["subject"]) == ("error", "site")
        assert "CELERY_BROKER_URL" in found["hint"]
        assert examined.of("celery.workers")["level"] == "skipped"
        assert examined.of("celery.queue")["level"] == "skipped"

    def test_a_broker_that_says_nothing_holds_nothing_up(self, doctor, celery_app, monkeypatch):
        import socket

        monkeypatch.setattr(examination, "BROKER_SECONDS", 1.0)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            celery_app.conf.broker_url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
            found = doctor().of("celery.broker")
        assert (found["level"], found["what"]) == ("error", "No answer within 1 s.")

    def test_a_broker_without_its_folder(self, doctor, celery_app, tmp_path):
        celery_app.conf.broker_url = "filesystem://"
        folders = {"data_folder_in": str(tmp_path / "in"), "data_folder_out": str(tmp_path / "out")}
        celery_app.conf.broker_transport_options = {**folders, "control_folder": str(tmp_path / "control")}
        found = doctor().of("celery.workers")
        assert (found["level"], "FileNotFoundError" in found["what"]) == ("error", True)

    @pytest.mark.redis
    def test_a_broker_on_which_nobody_works(self, doctor, celery_app, redis_cache):
        celery_app.conf.broker_url = redis_cache.url
        examined = doctor()
        assert examined.of("celery.broker")["level"] == "ok"
        found = examined.of("celery.workers")
        assert (found["level"], "celery -A" in found["hint"]) == ("error", True)


@pytest.fixture
def stack(django_db_setup: None, django_db_blocker: Any, tmp_path: Path) -> Iterator[Stack]:
    with django_db_blocker.unblock(), FakeProvider() as provider:
        made = on_filesystem(tmp_path, provider)
        try:
            yield made
        finally:
            made.remove()


def examine(stack: Stack, **ours: Any) -> dict[str, Any]:
    """What the doctor finds from another process of the site, by id."""
    settings = {**json.loads(stack.environment["MAIL_OAUTH"]), **ours}
    done = subprocess.run(
        [sys.executable, "-c", DOCTOR],
        cwd=Path(__file__).parents[2],
        env={**stack.environment, "MAIL_OAUTH": json.dumps(settings)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("{"), done.stderr
    return {each["id"]: each for each in json.loads(done.stdout)["findings"]}


@pytest.mark.worker
@pytest.mark.slow
@pytest.mark.timeout(180)
class TestWithAWorker:
    def test_on_the_queue_of_this_apps_tasks(self, stack):
        stack.start_worker("--beat", f"--schedule={stack.folder / 'schedule'}", "--concurrency=1")
        found = examine(stack)
        assert found["celery.broker"]["what"] == "filesystem answers."
        assert found["celery.workers"]["what"] == "Workers that answered, with this app's tasks: 1."
        assert found["celery.queue"]["level"] == "ok"
        assert "the queue 'celery': 1; messages waiting: " in found["celery.queue"]["what"]

    def test_that_takes_from_another_queue(self, stack):
        stack.start_worker("--concurrency=1")
        found = examine(stack, CELERY_QUEUE="mail")["celery.queue"]
        assert found["level"] == "error"
        assert "worker -Q celery,mail" in found["hint"]

    def test_that_lacks_this_apps_tasks(self, stack):
        app = stack.folder / "another.py"
        app.write_text(
            "from celery import Celery\n"
            "from django.conf import settings\n"
            "app = Celery('another')\n"
            "app.config_from_object('django.conf:settings', namespace='CELERY')\n"
        )
        stack.environment["PYTHONPATH"] = str(stack.folder)
        command = [sys.executable, "-m", "celery", "-A", "another", "worker", "--loglevel=INFO", "--concurrency=1"]
        with stack.log("worker").open("ab") as log:
            stack.processes["worker"] = subprocess.Popen(
                command, env=stack.environment, cwd=Path(__file__).parents[2], stdout=log, stderr=log
            )
        from tests.worker.stack import wait_until

        wait_until(lambda: b" ready." in stack.log("worker").read_bytes(), 60, lambda: stack.tail("worker"))
        found = examine(stack)["celery.workers"]
        assert (found["level"], "autodiscover_tasks" in found["hint"]) == ("warning", True)
