"""The tables: mailboxes and their history, consents under way, and how the providers are."""

from mail_oauth.models.consents import ConnectAttempt
from mail_oauth.models.health import ProviderFault, ProviderHealth
from mail_oauth.models.mailboxes import CredentialEvent, MailCredentials

__all__ = ["ConnectAttempt", "CredentialEvent", "MailCredentials", "ProviderFault", "ProviderHealth"]
