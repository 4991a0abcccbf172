"""What users are told after a mailbox was disconnected."""

from django.utils.translation import gettext_lazy as _

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
