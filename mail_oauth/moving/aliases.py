"""Which of this site's providers a source's own name means."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.providers import Provider, provider_for

GUESSES = {
    "google-oauth2": "google",
    "google-openidconnect": "google",
    "gmail": "google",
    "microsoft-graph": "microsoft",
    "azuread-oauth2": "microsoft",
    "azuread-tenant-oauth2": "microsoft",
    "azuread-v2-tenant-oauth2": "microsoft",
    "outlook": "microsoft",
    "office365": "microsoft",
    "yahoo-oauth2": "yahoo",
}
"""Names of django-allauth's and social-auth's providers, beside those that are aliases here themselves."""


@dataclass(frozen=True, slots=True)
class Aliases:
    """What `--provider` said: `NAME=ALIAS` for one name of the source, `ALIAS` for entries that name none."""

    by_name: dict[str, str] = field(default_factory=dict)
    default: str = ""

    @classmethod
    def of(cls, given: Iterable[str]) -> Aliases:
        """Read the options. Raises `ConfigurationError` for an alias of no users' mailboxes, or of none at all."""
        by_name, default = {}, ""
        for option in given:
            name, equals, alias = option.rpartition("=")
            if provider_for(alias).is_app_only:
                raise ConfigurationError(
                    f"--provider {alias}: the app itself is let into its mailboxes (ACCESS), and no user's grant opens one."
                )
            if equals:
                by_name[name] = alias
            else:
                default = alias
        return cls(by_name, default)

    def provider(self, name: str) -> Provider | None:
        """Return the provider that is meant, None where nobody can tell. Nothing is guessed from an address.

        Raises `ConfigurationError` for one that the settings have, and that cannot work as it is there.
        """
        alias = self.by_name.get(name) or (name or self.default)
        return _configured(alias) or _configured(GUESSES.get(alias, ""))


def _configured(alias: str) -> Provider | None:
    provider = provider_for(alias) if alias in app_settings().providers else None
    return None if provider is None or provider.is_app_only else provider
