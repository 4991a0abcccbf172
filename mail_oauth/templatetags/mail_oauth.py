"""`{% load mail_oauth %}`: the connect button, the status of a mailbox, and whether it sends mail."""

from __future__ import annotations

from typing import Any

from django import template
from django.middleware.csrf import get_token

from mail_oauth.models import MailCredentials
from mail_oauth.providers import provider_for
from mail_oauth.upkeep.signing_in import can_send

register = template.Library()


@register.inclusion_tag("mail_oauth/includes/connect_button.html", takes_context=True)
def connect_mailbox_button(
    context: template.Context,
    provider: str,
    *,
    label: str = "",
    next: str = "",  # noqa: A002  # the name that Django's own forms use
    mailbox: MailCredentials | None = None,
    replace: bool = False,
    ask_address: bool = False,
) -> dict[str, Any]:
    """Draw a form with one button that connects a mailbox at `provider`, an alias of the settings.

    `next` is where the user goes afterwards, `mailbox` the row to reconnect (with `replace`: to another
    account). Needs `request` in the template's context. Raises `ConfigurationError` for an unknown alias.
    """
    request = context["request"]
    return {
        "provider": provider_for(provider),
        "label": label,
        "next": next,
        "mailbox": mailbox,
        "replace": replace,
        "ask_address": ask_address,
        "csrf_token": get_token(request),
    }


@register.inclusion_tag("mail_oauth/includes/mailbox_status.html")
def mailbox_status(mailbox: MailCredentials) -> dict[str, Any]:
    """Say in a few words whether a mailbox works and, if not, who must act."""
    return {"mailbox": mailbox}


@register.filter
def sends_mail(mailbox: MailCredentials) -> bool:
    """Tell whether mail can be sent through a mailbox, as far as can be told without trying."""
    return can_send(mailbox)
