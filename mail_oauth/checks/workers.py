"""The site's Celery app, where it has one. Cron serves as well, and needs none of this."""

from __future__ import annotations

from typing import Any

from django.apps import apps

from mail_oauth.checks.catalogue import Found, found
from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.upkeep.messaging import site_app

REFRESH_DUE = "mail_oauth.tasks.refresh_due"
_PICKLES = {"pickle", "application/x-python-serialize"}


def schedule() -> Found:
    """Find a beat that never looks for due mailboxes."""
    try:
        app = site_app()
    except ConfigurationError as error:
        yield found("W022", f"Whether beat has this app's entries cannot be told: {error}")
        return
    if app is None or apps.is_installed("django_celery_beat") or not keeps_schedule_in_settings(app):
        return
    if not any(entry.get("task") == REFRESH_DUE for entry in app.conf.beat_schedule.values()):
        yield found(
            "W022",
            f"The schedule of the Celery app {app.main!r} lacks {REFRESH_DUE}: no token is refreshed before it expires.",
            "Add app.conf.beat_schedule |= mail_oauth_beat_schedule() to your celery.py.",
        )


def content() -> Found:
    """Find workers to whom whoever writes to the broker can send code."""
    app = _app()
    if app is None:
        return
    if _PICKLES & set(app.conf.accept_content or ()):
        yield found(
            "W024",
            "Celery workers accept pickled messages: whoever can write to the broker can run code where the keys are.",
            'Write CELERY_ACCEPT_CONTENT = ["json"].',
        )
    elif app.conf.task_serializer in _PICKLES:
        yield found(
            "W024",
            "Celery pickles this app's messages, which its workers do not accept.",
            'Write CELERY_TASK_SERIALIZER = "json".',
        )


def time_limit() -> Found:
    """Find workers that are killed while a provider has a refresh token in its hands."""
    app = _app()
    longest = app_settings().batch_seconds + app_settings().lease_seconds
    if app is not None and app.conf.task_time_limit and app.conf.task_time_limit <= longest:
        yield found(
            "W025",
            f"Celery kills tasks after {app.conf.task_time_limit:g} s, while a sweep may take {longest:g} s: what "
            "providers have just rotated is lost with it.",
            f"Write CELERY_TASK_TIME_LIMIT = {longest + 60:g}, or leave it out.",
        )


def _app() -> Any:
    """Return the site's app; None as well where it cannot be imported, which `schedule` says."""
    try:
        return site_app()
    except ConfigurationError:
        return None


def keeps_schedule_in_settings(app: Any) -> bool:
    """Tell whether beat goes by `beat_schedule`, and not by a database."""
    return str(app.conf.beat_scheduler).startswith("celery.beat:")
