"""Whom calls trust: without that, no provider and no mail server is reached."""

from __future__ import annotations

from mail_oauth.checks.catalogue import Found, found
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.transport import trusting_context


def authorities() -> Found:
    """Look at the certificates to trust, on the machine where they must be."""
    try:
        trusting_context()
    except ConfigurationError as error:
        yield found("E038", str(error))
