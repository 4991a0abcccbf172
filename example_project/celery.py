"""The Celery application, with the schedule of mail_oauth."""

import os

from celery import Celery

from mail_oauth.beat import mail_oauth_beat_schedule

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "example_project.settings")

app = Celery("example_project")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# Every 5 seconds, because the demo's tokens live two minutes. A site leaves the default of a minute.
app.conf.beat_schedule |= mail_oauth_beat_schedule(interval=5, reconcile_interval=30)
