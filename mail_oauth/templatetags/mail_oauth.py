"""`{% load mail_oauth %}`: the connect button, how a mailbox is, what it may be used for, and whether it sends mail."""

from __future__ import annotations

from typing import Any

from django import template
from django.middleware.csrf import get_token

from mail_oauth.models import MailCredentials
from mail_oauth.providers import provider_for
from mail_oauth.upkeep.signing_in import can_send
from mail_oauth.wording.access import Access, access_in_words
from mail_oauth.wording.brands import branded_hint, branded_label
from mail_oauth.wording.standing import Standing, standing

register = template.Library()

NO_MARK = "mail_oauth/marks/none.html"


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
    account). Without a `label` it carries the provider's mark, where the site has put that in place. Needs `request` in
    the template's context. Raises `ConfigurationError` for an unknown alias.
    """
    request, found = context["request"], provider_for(provider)
    mark = _mark(context, found.brand) if found.brand and not label else None
    return {
        "provider": found,
        "mark": mark,
        "label": label or (branded_label(found) if mark else ""),
        "hint": branded_hint(found) if mark else "",
        "next": next,
        "mailbox": mailbox,
        "replace": replace,
        "ask_address": ask_address,
        "csrf_token": get_token(request),
    }


def _mark(context: template.Context, brand: str) -> template.Template | None:
    """Return the template with a provider's mark, if the site has put one in place."""
    engine: Any = context.template.engine  # type: ignore[union-attr]  # the one that renders this tag
    found: template.Template = engine.select_template([f"mail_oauth/marks/{brand}.html", NO_MARK])
    return None if found.name == NO_MARK else found


@register.inclusion_tag("mail_oauth/includes/mailbox_status.html")
def mailbox_status(mailbox: MailCredentials) -> dict[str, Any]:
    """Say in a few words whether a mailbox works and, if not, who must act."""
    return {"mailbox": mailbox, "standing": standing(mailbox)}


@register.simple_tag
def mailbox_standing(mailbox: MailCredentials) -> Standing:
    """Return how a mailbox is: `{% mailbox_standing mailbox as standing %}{{ standing.headline }} {{ standing.advice }}`."""
    return standing(mailbox)


@register.simple_tag
def mailbox_access(mailbox: MailCredentials) -> list[Access]:
    """Return what its user has allowed, in words: `{% mailbox_access mailbox as allowed %}`."""
    return access_in_words(mailbox.scopes)


@register.filter
def sends_mail(mailbox: MailCredentials) -> bool:
    """Tell whether mail can be sent through a mailbox, as far as can be told without trying."""
    return can_send(mailbox)
