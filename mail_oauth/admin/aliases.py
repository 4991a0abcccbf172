"""Provider aliases as people know them, whether or not the settings still hold them."""

from __future__ import annotations

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.providers import provider_for


def provider_name(alias: str) -> str:
    """Return what people call the provider; the bare alias where the settings lack or spoil it."""
    try:
        return provider_for(alias).name
    except ConfigurationError:
        return alias


def provider_problem(alias: str) -> str:
    """Say what is wrong with an alias in the settings; an empty string when nothing is."""
    try:
        provider_for(alias)
    except ConfigurationError as error:
        return str(error)
    return ""


def required_scopes(alias: str) -> tuple[str, ...]:
    """Return the scopes that the settings want of a provider's mailboxes now; none where they cannot be read."""
    try:
        return provider_for(alias).requested_scopes
    except ConfigurationError:
        return ()


def configured_aliases() -> list[str]:
    """Return the aliases of the settings, in their order; none where the settings cannot be read."""
    try:
        return list(app_settings().providers)
    except ConfigurationError:
        return []
