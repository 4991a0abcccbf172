"""Whom to write to, and in which language."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings as django_settings
from django.utils import translation
from django.utils.module_loading import import_string

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


def address_of(user: Any) -> str:
    """Return where a user is mailed; empty where that is nowhere: an inactive user, or one without an address."""
    if not user.is_active:
        return ""
    path = app_settings().notify_address
    address = _function(path)(user) if path else getattr(user, user.get_email_field_name(), "")
    return str(address or "").strip()


def language_of(user: Any) -> str:
    """Return the language to write to a user in: the site's own where nobody says, or says one that it does not have."""
    path = app_settings().notify_language
    code = _function(path)(user) if path else ""
    try:
        return translation.get_supported_language_variant(code or django_settings.LANGUAGE_CODE)
    except LookupError:
        return django_settings.LANGUAGE_CODE


def _function(path: str) -> Callable[[Any], Any]:
    found: Callable[[Any], Any] = import_string(path)
    return found
