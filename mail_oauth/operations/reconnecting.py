"""Asking a mailbox's user, by mail, to connect it again."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from mail_oauth.conf import app_settings
from mail_oauth.connect.inviting import Invited, invite
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.managers.vocabulary import EventKind
from mail_oauth.models import MailCredentials
from mail_oauth.operations.contract import Operation, Order, Result
from mail_oauth.operations.use import present

_REFUSED = {
    Invited.OFF: _("nobody was asked: this site sends no such links"),
    Invited.NO_ADDRESS: _("nobody was asked: its user has no e-mail address on this site"),
    Invited.NOT_SENT: _("nobody was asked: this site's mail could not be sent"),
    Invited.NO_LINK: _('nobody was asked: it is not known where this site is; set MAIL_OAUTH["BASE_URL"]'),
    Invited.NO_USER: _("nobody was asked: it has no user"),
    Invited.GONE: _("nobody was asked: it is disconnected"),
}


def _ask(row: MailCredentials, order: Order) -> Result:
    came = invite(row, origin=order.origin)
    if came is Invited.SENT:
        return Result(True, _("its user was sent a link to reconnect it"))
    return Result(False, _REFUSED[came], reason=came.value)


def _may_be_asked(row: MailCredentials) -> bool:
    owner: Any = row.user_id  # a mailbox may have none
    try:
        wanted = app_settings().reconnect_link_days > 0 and row.provider_configured
    except ConfigurationError:
        return False
    return wanted and present(row) and owner is not None


ASK_TO_RECONNECT = Operation(
    name="ask_to_reconnect",
    label=_("Ask to reconnect"),
    run=_ask,
    offered=_may_be_asked,
    permissions=("ask_reconnect",),
    kind=EventKind.RECONNECT_ASKED,
    warning=_(
        "Each user is sent a mail with a link that works once, and only for them once they have signed in. A link that "
        "was sent before works no more."
    ),
    confirmed=True,
)
