"""Django admin: mailboxes to inspect and operate, their history to read, held lanes, bulk actions. No token is shown unless asked for."""

from mail_oauth.admin.events import CredentialEventAdmin
from mail_oauth.admin.health import ProviderHealthAdmin
from mail_oauth.admin.jobs import BulkJobAdmin
from mail_oauth.admin.mailboxes import MailCredentialsAdmin

__all__ = ["BulkJobAdmin", "CredentialEventAdmin", "MailCredentialsAdmin", "ProviderHealthAdmin"]
