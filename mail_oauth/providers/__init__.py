"""Providers: the contract, the registry, and one short module for each."""

from mail_oauth.providers.contract import Provider, Revocation
from mail_oauth.providers.registry import all_providers, provider_for

__all__ = ["Provider", "Revocation", "all_providers", "provider_for"]
