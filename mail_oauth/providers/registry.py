"""From an alias in the settings to its provider."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from mail_oauth.conf import app_settings, did_you_mean
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.providers.contract import Provider

BUILT_IN = {
    "microsoft": "mail_oauth.providers.microsoft.Microsoft",
    "google": "mail_oauth.providers.google.Google",
    "yahoo": "mail_oauth.providers.yahoo.Yahoo",
    "aol": "mail_oauth.providers.yahoo.Aol",
    "fastmail": "mail_oauth.providers.fastmail.Fastmail",
    "oidc": "mail_oauth.providers.oidc.OpenIDConnect",
    "oauth2": "mail_oauth.providers.oauth2.OAuth2",
}
"""Short names for `CLASS`; an alias of such a name needs no `CLASS`."""


@lru_cache(maxsize=256)
def provider_for(alias: str) -> Provider:
    """Return the provider of an alias. Raises `ConfigurationError` when the settings lack or spoil it."""
    configured = app_settings().providers
    if alias not in configured:
        raise ConfigurationError(f'MAIL_OAUTH["PROVIDERS"] has no {alias!r}.{did_you_mean(alias, configured)}')
    options = configured[alias]
    return provider_class(alias, options)(alias, options)


def provider_class(alias: str, options: Any) -> type[Provider]:
    """Return the class that an alias names. Raises `ConfigurationError`."""
    if not isinstance(options, Mapping):
        raise ConfigurationError(f'MAIL_OAUTH["PROVIDERS"]["{alias}"] must be a dict of options.')
    named = str(options.get("CLASS", alias))
    path = BUILT_IN.get(named, named)
    try:
        found = import_string(path)
    except ImportError:
        raise ConfigurationError(
            f'MAIL_OAUTH["PROVIDERS"]["{alias}"] needs "CLASS": one of {", ".join(BUILT_IN)}, '
            f"or the dotted path of a Provider; {named!r} is neither."
        ) from None
    except Exception as error:  # noqa: BLE001  # the module is the site's own, and may raise anything
        raise ConfigurationError(
            f'MAIL_OAUTH["PROVIDERS"]["{alias}"]: {path} cannot be imported ({type(error).__name__}); '
            f"`manage.py shell -c 'import {path.rpartition('.')[0]}'` shows where."
        ) from None
    if not (isinstance(found, type) and issubclass(found, Provider)):
        raise ConfigurationError(f"{path} is no mail_oauth Provider.")
    return found


def all_providers() -> list[Provider]:
    """Return every configured provider, in the order of the settings."""
    return [provider_for(alias) for alias in app_settings().providers]


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "MAIL_OAUTH":
        provider_for.cache_clear()


setting_changed.connect(_forget, dispatch_uid="mail_oauth.providers")
