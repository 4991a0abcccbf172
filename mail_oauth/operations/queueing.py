"""Telling workers that there is work, where the site has workers."""

from __future__ import annotations

import logging

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.upkeep.messaging import site_app

logger = logging.getLogger(__name__)

TASK = "mail_oauth.tasks.run_jobs"
EXPIRES_SECONDS = 3600
"""A message that nobody takes for so long is of no use: whoever looks at the job sends another, as does beat."""

_PATIENCE_SECONDS = 3


def call_workers() -> bool:
    """Send one message, which says no more than that there is work; False where it cannot be sent.

    Whether a worker takes it is not known: the job's page shows whether it moves.
    """
    try:
        app = site_app()
    except ConfigurationError:
        return False
    if app is None:
        return False
    queue = {"queue": app_settings().celery_queue} if app_settings().celery_queue else {}
    try:
        with app.connection_for_write() as connection:  # a person waits: the pool's would be tried again and again
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=_PATIENCE_SECONDS)
            about = {"ignore_result": True, "expires": EXPIRES_SECONDS, "retry": False}
            app.send_task(TASK, connection=connection, **about, **queue)
    except Exception as error:  # noqa: BLE001  # whatever a transport raises
        logger.warning("no worker could be called: %s", type(error).__name__, extra={"action": "jobs"})
        return False
    return True
