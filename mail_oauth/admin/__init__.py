"""Django admin: a dashboard, mailboxes to inspect and operate, their history, held lanes, bulk actions. No token is shown unasked."""

from mail_oauth.admin.dashboard import DashboardAdmin
from mail_oauth.admin.erased import ErasedEventAdmin
from mail_oauth.admin.events import CredentialEventAdmin
from mail_oauth.admin.health import ProviderHealthAdmin
from mail_oauth.admin.jobs import BulkJobAdmin
from mail_oauth.admin.mailboxes import MailCredentialsAdmin

__all__ = [
    "BulkJobAdmin",
    "CredentialEventAdmin",
    "DashboardAdmin",
    "ErasedEventAdmin",
    "MailCredentialsAdmin",
    "ProviderHealthAdmin",
]
