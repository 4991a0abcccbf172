"""The keys under which tokens are sealed."""

from __future__ import annotations

from django.conf import settings

from mail_oauth.checks.catalogue import Found, found
from mail_oauth.encryption import keyring
from mail_oauth.exceptions import ConfigurationError


def malformed() -> Found:
    """Find keys that are none."""
    try:
        keyring()
    except ConfigurationError as error:
        yield found("E003", str(error), "")


def secret_key() -> Found:
    """Find a site without a key of its own for tokens."""
    if not getattr(settings, "FERNET_KEYS", None):
        yield found(
            "W002", "Tokens are sealed under a key made of SECRET_KEY: changing that would make them unreadable."
        )
