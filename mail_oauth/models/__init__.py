"""The tables: mailboxes and their history, consents under way, and how the providers are."""

from mail_oauth.models import refusals as _refusals  # noqa: F401  # connects its receiver
from mail_oauth.models.consents import ConnectAttempt, ConnectPace, ConnectTurn
from mail_oauth.models.events import CredentialEvent, ErasedEvent
from mail_oauth.models.health import CallBudget, ProviderFault, ProviderHealth, RefreshCount
from mail_oauth.models.mailboxes import MailCredentials

__all__ = [
    "CallBudget",
    "ConnectAttempt",
    "ConnectPace",
    "ConnectTurn",
    "CredentialEvent",
    "ErasedEvent",
    "MailCredentials",
    "ProviderFault",
    "ProviderHealth",
    "RefreshCount",
]
