"""Where an option stands in the settings, as messages name it."""

from __future__ import annotations

from mail_oauth.providers import Provider


def where(provider: Provider, option: str = "") -> str:
    """Return the place of a provider's options, or of one of them."""
    place = f'MAIL_OAUTH["PROVIDERS"]["{provider.alias}"]'
    return f'{place}["{option}"]' if option else place
