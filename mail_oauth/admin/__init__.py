"""Django admin: a dashboard, mailboxes to inspect and operate, their history to read, held lanes. Tokens are never shown."""

from mail_oauth.admin.dashboard import DashboardAdmin
from mail_oauth.admin.events import CredentialEventAdmin
from mail_oauth.admin.health import ProviderHealthAdmin
from mail_oauth.admin.mailboxes import MailCredentialsAdmin

__all__ = ["CredentialEventAdmin", "DashboardAdmin", "MailCredentialsAdmin", "ProviderHealthAdmin"]
