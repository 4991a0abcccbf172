"""What notices stand on: a link, somebody to tell, and mail that does not go through the mailbox that is dead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import django
from django.apps import apps
from django.conf import settings
from django.utils.module_loading import import_string

from mail_oauth.checks.catalogue import Found, found
from mail_oauth.checks.workers import keeps_schedule_in_settings
from mail_oauth.choices import Notified
from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.notices.recipients import operators
from mail_oauth.upkeep.messaging import site_app

SEND_NOTICES = "mail_oauth.tasks.send_notices"
OURS = "mail_oauth.backends.EmailBackend"
_NOWHERE = ("console", "locmem", "dummy", "filebased")


def links() -> Found:
    """Find mails that could not say where to go."""
    ours = app_settings()
    if ours.notify and not ours.base_url:
        yield found(
            "E040", f'MAIL_OAUTH["NOTIFY"] is {ours.notify!r}, and no "BASE_URL" says what its links begin with.'
        )


def functions() -> Found:
    """Find functions that are not there."""
    ours = app_settings()
    for name in ("NOTIFY_ADDRESS", "NOTIFY_LANGUAGE"):
        path = getattr(ours, name.lower())
        if not path:
            continue
        try:
            called = import_string(path)
        except Exception as error:  # noqa: BLE001  # the module is the site's own, and may raise anything
            yield found("E041", f'MAIL_OAUTH["{name}"]: {path} cannot be imported ({type(error).__name__}).')
        else:
            if not callable(called):
                yield found("E041", f'MAIL_OAUTH["{name}"]: {path} is no function.')


def somebody() -> Found:
    """Find mails that would go to nobody."""
    ours = app_settings()
    if ours.notify in {Notified.OPERATORS, Notified.ALL} and not operators():
        yield found("E042", f'MAIL_OAUTH["NOTIFY"] is {ours.notify!r}, and no operators are named.')
    if ours.notify == Notified.USERS and not ours.notify_mass_users:
        yield found(
            "E042",
            'MAIL_OAUTH["NOTIFY_MASS_USERS"] is False, and no operators are told in the place of users.',
            'Write MAIL_OAUTH["NOTIFY"] = "all", or leave NOTIFY_MASS_USERS out.',
        )


def mailer() -> Found:
    """Find a mailer that does not exist, or that needs the mailboxes it is to tell of."""
    ours = app_settings()
    if not ours.notify:
        return
    if ours.notify_mailer and ours.notify_mailer not in _mailers():
        yield found("E043", f'MAIL_OAUTH["NOTIFY_MAILER"]: MAILERS has no {ours.notify_mailer!r}.')
    elif _backend() == OURS:
        yield found(
            "W040", "Mail about dead mailboxes goes through mailboxes of this app, which may be the dead ones."
        )


def brake() -> Found:
    """Find users that are mailed before the brake can be pulled."""
    ours = app_settings()
    if ours.notify and ours.notify_after < ours.circuit_window:
        yield found(
            "W041",
            f'MAIL_OAUTH["NOTIFY_AFTER"] ({ours.notify_after} s) is below CIRCUIT_WINDOW ({ours.circuit_window} s): users '
            "are mailed before it shows that too many are.",
        )


def delivery() -> Found:
    """Find mail that reaches nobody, or comes from nobody."""
    ours = app_settings()
    if not ours.notify:
        return
    backend = _backend()
    if any(f".{name}." in backend for name in _NOWHERE):
        yield found("W042", f"Notices are sent by {backend}, which delivers no mail.")
    if not ours.notify_from and settings.DEFAULT_FROM_EMAIL == "webmaster@localhost":
        yield found(
            "W042",
            "Notices come from webmaster@localhost, which mail servers refuse.",
            'Write DEFAULT_FROM_EMAIL or MAIL_OAUTH["NOTIFY_FROM"].',
        )


def schedule() -> Found:
    """Find a beat that never has notices sent."""
    if not app_settings().notify:
        return
    try:
        app = site_app()
    except ConfigurationError:  # which W022 says
        return
    if app is None or apps.is_installed("django_celery_beat"):
        return
    entries = app.conf.beat_schedule.values()
    if keeps_schedule_in_settings(app) and not any(entry.get("task") == SEND_NOTICES for entry in entries):
        yield found("W043", f"The schedule of the Celery app {app.main!r} lacks {SEND_NOTICES}: nobody is mailed.")


def _mailers() -> Mapping[str, Any]:
    """Return `MAILERS`, which came with Django 6.1."""
    return getattr(settings, "MAILERS", None) or {} if django.VERSION >= (6, 1) else {}


def _backend() -> str:
    """Return the dotted path of the backend that sends notices."""
    named = _mailers().get(app_settings().notify_mailer or "default")
    return str(named.get("BACKEND", "") if named else getattr(settings, "EMAIL_BACKEND", ""))
