"""Mailboxes as a consent makes them, for this process and for those under test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mail_oauth.models import MailCredentials
from mail_oauth.refresh.replies import parse_tokens
from tests.worker.stack import SCOPES, token_changes


def new_row(user: Any, alias: str, email: str, subject: str, reply: Mapping[str, Any]) -> MailCredentials:
    """A mailbox, not saved yet, with the tokens of a provider's reply."""
    row = MailCredentials(user=user, provider=alias, email=email, subject=subject, requested_scopes=SCOPES)
    for column, value in token_changes(row, parse_tokens(reply)).items():
        setattr(row, column, value)
    return row
