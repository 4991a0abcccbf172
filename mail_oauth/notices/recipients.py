"""Who is written to."""

from __future__ import annotations

from typing import Any

from django.conf import settings as django_settings

from mail_oauth.choices import Notified
from mail_oauth.conf import app_settings


def tells_users() -> bool:
    """Whether users are mailed."""
    return app_settings().notify in {Notified.USERS, Notified.ALL}


def tells_operators() -> bool:
    """Whether operators are mailed, and there are any."""
    return app_settings().notify in {Notified.OPERATORS, Notified.ALL} and bool(operators())


def operators() -> list[str]:
    """Return the operators' addresses. `ADMINS` has pairs of name and address before Django 6.0."""
    named = app_settings().notify_operators
    admins: list[Any] = list(getattr(django_settings, "ADMINS", []))
    return list(named) or [each if isinstance(each, str) else each[1] for each in admins]
