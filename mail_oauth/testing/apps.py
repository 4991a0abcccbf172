"""Django's configuration of the testing kit; only the management command needs it."""

from django.apps import AppConfig


class MailOAuthTestingConfig(AppConfig):
    """Makes ``manage.py fake_oauth_provider`` available."""

    name = "mail_oauth.testing"
    label = "mail_oauth_testing"
    verbose_name = "Mail OAuth testing kit"
