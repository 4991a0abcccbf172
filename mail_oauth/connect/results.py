"""What users are told after a mailbox was disconnected."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from mail_oauth.models import MailCredentials
from mail_oauth.providers import Revocation

DISCONNECTED = {
    Revocation.REVOKED: _("%(email)s is disconnected, and %(provider)s has withdrawn this site's access."),
    Revocation.UNSUPPORTED: _(
        "%(email)s is disconnected and its tokens are deleted here. %(provider)s cannot be told to withdraw "
        "access: you may remove this site in your account there."
    ),
    Revocation.KEPT: _(
        "%(email)s is disconnected. Access at %(provider)s stays, because another mailbox here lives on it."
    ),
    Revocation.NOTHING: _(
        "%(email)s is disconnected here. The app's own access to it at %(provider)s goes on until an administrator "
        "takes it away there."
    ),
    Revocation.FAILED: _(
        "%(email)s is disconnected and can no longer be used here. %(provider)s did not confirm the withdrawal; "
        "you may also remove this site in your account there."
    ),
}
"""By outcome; the texts take `email` and `provider`."""

_STILL_THERE = {Revocation.UNSUPPORTED, Revocation.FAILED}


def told_of(result: Revocation, row: MailCredentials, page: str) -> str:
    """Return what its user is told, as HTML: with a link to their account's `page` where access may still stand there."""
    text = DISCONNECTED[result] % {"email": row.email, "provider": row.provider_name}
    if result not in _STILL_THERE or not page:
        return text
    link = _now("Your account at %(provider)s") % {"provider": row.provider_name}
    return format_html('{} <a href="{}" rel="noopener noreferrer">{}</a>', text, page, link)
