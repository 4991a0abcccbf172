"""A project's celery.py, as the README has it."""

import os

from celery import Celery

from mail_oauth.beat import mail_oauth_beat_schedule

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.worker.settings")
app = Celery("tests.worker")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.beat_schedule |= mail_oauth_beat_schedule(interval=float(os.environ["BEAT_SECONDS"]))
