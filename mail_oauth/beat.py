"""The schedule for Celery beat. It can be imported before Django is set up, so from a project's celery.py."""

from __future__ import annotations

from typing import Any

from celery.schedules import crontab


def mail_oauth_beat_schedule(
    interval: float = 60,
    *,
    reconcile_interval: float = 600,
    notice_interval: float = 60,
    survey_interval: float = 300,
) -> dict[str, dict[str, Any]]:
    """Return the entries of this app, to be added to ``app.conf.beat_schedule``.

    Due mailboxes are looked for every `interval` seconds, the cache is compared with the table every
    `reconcile_interval` seconds, notices are sent every `notice_interval` seconds (none are while `NOTIFY` is empty),
    mailboxes are counted for dashboard and metrics every `survey_interval` seconds, and
    old events are deleted at night.

    Each message expires, so that workers which were away for a day do not meet a thousand of them. It does so
    only after many intervals: where a project's own tasks keep the queue waiting for longer than one, messages
    that lived no longer would all expire unseen, and nothing would ever be refreshed.
    """
    return {
        "mail_oauth.refresh_due": {
            "task": "mail_oauth.tasks.refresh_due",
            "schedule": interval,
            "options": {"expires": max(interval * 10, 300)},
        },
        "mail_oauth.reconcile_cache": {
            "task": "mail_oauth.tasks.reconcile_cache",
            "schedule": reconcile_interval,
            "options": {"expires": max(reconcile_interval * 3, 300)},
        },
        "mail_oauth.send_notices": {
            "task": "mail_oauth.tasks.send_notices",
            "schedule": notice_interval,
            "options": {"expires": max(notice_interval * 10, 300)},
        },
        "mail_oauth.take_survey": {
            "task": "mail_oauth.tasks.take_survey",
            "schedule": survey_interval,
            "options": {"expires": max(survey_interval * 3, 300)},
        },
        "mail_oauth.prune_events": {
            "task": "mail_oauth.tasks.prune_events",
            "schedule": crontab(hour="3", minute="17"),
            "options": {"expires": 12 * 3600},
        },
    }
