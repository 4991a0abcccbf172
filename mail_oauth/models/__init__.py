"""The tables: mailboxes and their history, who is told, consents under way, how providers are, what upkeep found last."""

from mail_oauth.models import refusals as _refusals  # noqa: F401  # connects its receiver
from mail_oauth.models.consents import ConnectAttempt, ConnectPace, ConnectTurn
from mail_oauth.models.erasures import ErasedMailbox
from mail_oauth.models.events import CredentialEvent, ErasedEvent
from mail_oauth.models.health import CallBudget, ProviderFault, ProviderHealth, RefreshCount
from mail_oauth.models.invitations import ReconnectLink
from mail_oauth.models.jobs import BulkItem, BulkJob, ItemState
from mail_oauth.models.mailboxes import MailCredentials
from mail_oauth.models.notices import Episode, Notice
from mail_oauth.models.reports import Dashboard, UpkeepReport

__all__ = [
    "BulkItem",
    "BulkJob",
    "CallBudget",
    "ConnectAttempt",
    "ConnectPace",
    "ConnectTurn",
    "CredentialEvent",
    "Dashboard",
    "Episode",
    "ErasedEvent",
    "ErasedMailbox",
    "ItemState",
    "MailCredentials",
    "Notice",
    "ProviderFault",
    "ProviderHealth",
    "ReconnectLink",
    "RefreshCount",
    "UpkeepReport",
]
