"""The Django app."""

from django.apps import AppConfig
from django.db.models.signals import post_delete
from django.utils.translation import gettext_lazy as _

from mail_oauth import checks
from mail_oauth.managers.transitions import bury_deleted


class MailOAuthConfig(AppConfig):
    """Connected mailboxes."""

    name = "mail_oauth"
    verbose_name = _("Connected mailboxes")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks, and have deleted mailboxes leave the cache."""
        checks.register()
        post_delete.connect(bury_deleted, self.get_model("MailCredentials"), dispatch_uid="mail_oauth.bury")
