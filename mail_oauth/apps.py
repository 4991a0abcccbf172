"""The Django app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _

from mail_oauth import checks
from mail_oauth.redaction import hide_secrets_in_logs


class MailOAuthConfig(AppConfig):
    """Connected mailboxes."""

    name = "mail_oauth"
    verbose_name = _("Connected mailboxes")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system checks, and keep secrets out of others' logs."""
        checks.register()
        hide_secrets_in_logs()
