"""Taking mailboxes out of use and into it again, and disconnecting them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from mail_oauth.connect.disconnect import disconnect
from mail_oauth.connect.switch import pause, resume
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.managers.vocabulary import Access, Status
from mail_oauth.models import MailCredentials
from mail_oauth.operations.contract import Operation, Order, Result
from mail_oauth.providers import Revocation, provider_for

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise


def _pause(row: MailCredentials, order: Order) -> Result:
    pause(row, actor=order.actor)
    return Result(True, _("OAuth is switched off; the tokens are kept"))


def _resume(row: MailCredentials, order: Order) -> Result:
    resume(row, actor=order.actor)
    return Result(True, _("OAuth is switched on"))


_REVOCATIONS: dict[Revocation, _StrOrPromise] = {
    Revocation.REVOKED: _("disconnected; the grant was revoked at the provider"),
    Revocation.UNSUPPORTED: _(
        "disconnected; its provider has no way to revoke, so the user withdraws access in their account there"
    ),
    Revocation.NOTHING: _(
        "disconnected here; the app's own access goes on until an administrator takes it away at the provider"
    ),
    Revocation.KEPT: _("disconnected; the grant stays, because another mailbox lives on it"),
    Revocation.FAILED: _("disconnected; revoking the grant at the provider failed"),
}


def _disconnect(row: MailCredentials, order: Order) -> Result:
    came = disconnect(row, actor=order.actor)
    text, url = _REVOCATIONS[came], _account_url(row)
    if came is Revocation.FAILED and _is_tried_again(row):
        text = _("disconnected; revoking the grant at the provider failed, and is tried again")
    if came is not Revocation.REVOKED and url:
        text = format_lazy("{text}: {url}", text=text, url=url)
    return Result(True, text)


def _is_tried_again(row: MailCredentials) -> bool:
    rows = MailCredentials.objects.using(MailCredentials.objects.write_alias())
    return bool(rows.filter(pk=row.pk, status=Status.DISCONNECTED, refresh_at__isnull=False).exists())


def _account_url(row: MailCredentials) -> str:
    """Return where a user withdraws what they granted; empty where it is not known."""
    try:
        return str(provider_for(row.provider).setting("ACCOUNT_URL") or "")
    except ConfigurationError:
        return ""


def present(row: MailCredentials) -> bool:
    """Tell whether this is a mailbox, which the app's own access is not, and was not disconnected."""
    return _in_place(row) and row.access != Access.APP


def _in_place(row: MailCredentials) -> bool:
    return row.status != Status.DISCONNECTED


PAUSE = Operation(
    name="pause",
    label=_("Switch OAuth off"),
    run=_pause,
    offered=lambda row: _in_place(row) and row.use_oauth,
    permissions=("pause",),
    warning=_(
        "Their tokens are kept, but neither used nor refreshed: mail is neither read nor sent until “Switch OAuth on”."
    ),
    confirmed=True,
    warning_of_app=_(
        "All mailboxes that the app is let into hang on this: mail is neither read nor sent in any of them until “Switch "
        "OAuth on”."
    ),
    mailboxes_only=True,
)
RESUME = Operation(
    name="resume",
    label=_("Switch OAuth on"),
    run=_resume,
    offered=lambda row: _in_place(row) and not row.use_oauth,
    permissions=("pause",),
    warning=_("Their tokens are used and refreshed again."),
)
DISCONNECT = Operation(
    name="disconnect",
    label=_("Disconnect"),
    run=_disconnect,
    offered=present,
    permissions=("disconnect", "delete"),
    warning=_(
        "Their tokens are deleted here, and their grants revoked at the providers that can do that. This cannot be "
        "undone: to use a mailbox again, its user must connect it again."
    ),
    confirmed=True,
    mailboxes_only=True,
)
