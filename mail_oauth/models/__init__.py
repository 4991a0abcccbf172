"""The tables: mailboxes and their history, who is told of them, consents under way, and how the providers are."""

from mail_oauth.models import refusals as _refusals  # noqa: F401  # connects its receiver
from mail_oauth.models.consents import ConnectAttempt, ConnectPace, ConnectTurn
from mail_oauth.models.events import CredentialEvent
from mail_oauth.models.health import CallBudget, ProviderFault, ProviderHealth, RefreshCount
from mail_oauth.models.mailboxes import MailCredentials
from mail_oauth.models.notices import Episode, Notice

__all__ = [
    "CallBudget",
    "ConnectAttempt",
    "ConnectPace",
    "ConnectTurn",
    "CredentialEvent",
    "Episode",
    "MailCredentials",
    "Notice",
    "ProviderFault",
    "ProviderHealth",
    "RefreshCount",
]
