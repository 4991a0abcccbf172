"""The site's own mails to its users and operators: to which address, in which language, made of which templates.

They hold addresses, names and links; never a token, and no link that needs no sign-in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.module_loading import import_string

from mail_oauth.conf import app_settings


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


def letter(
    name: str, to: Sequence[str], context: dict[str, Any], *, language: str, key: str, base_url: str
) -> EmailMultiAlternatives:
    """Return the mail that the templates `mail_oauth/mail/{name}…` make; to them, `site` is the host of `base_url`.

    Mails of one `key` are the same mail to whoever gets it twice.
    """
    host = urlsplit(base_url).hostname or "localhost"
    with translation.override(language):
        subject, text, html = (
            render_to_string(f"mail_oauth/mail/{name}{end}", {**context, "site": host})
            for end in ("_subject.txt", ".txt", ".html")
        )
    message = EmailMultiAlternatives(
        subject=" ".join(subject.split()),
        body=text.strip() + "\n",
        from_email=app_settings().notify_from or None,
        to=list(to),
        headers={
            # Nobody's absence is to answer it (RFC 3834 §5).
            "Auto-Submitted": "auto-generated",
            # Should a worker die between sending and saying so, the mail that is sent again is known to be the same.
            "Message-ID": f"<mail-oauth.{key}@{host}>",
        },
    )
    message.attach_alternative(html, "text/html")
    return message


def send(message: EmailMultiAlternatives) -> None:
    """Send by the site's own mail, or by the mailer that `NOTIFY_MAILER` names. Raises what that raises."""
    alias = app_settings().notify_mailer
    if alias:
        message.send(using=alias)  # Django 6.1
    else:
        message.send()


def _function(path: str) -> Callable[[Any], Any]:
    found: Callable[[Any], Any] = import_string(path)
    return found
