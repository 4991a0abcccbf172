"""Access without a user, and clients that sign: the tenant, the scope, and the files that keys and tokens are read from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mail_oauth.checks.catalogue import Found, found
from mail_oauth.checks.places import where
from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.providers import Provider, all_providers
from mail_oauth.providers.certificates import FederatedAssertion, SignedAssertion
from mail_oauth.providers.google import Google
from mail_oauth.providers.microsoft import CONSUMERS, Microsoft
from mail_oauth.providers.scoping import ALL_GIVEN

NOTICE = timedelta(days=30)
"""So long before a certificate ends it is said."""

_OF_MANY = frozenset({"common", "organizations", "consumers", CONSUMERS})


def tenant(provider: Provider) -> Found:
    """An app is let in by one organisation at a time (AADSTS9001023)."""
    if isinstance(provider, Microsoft) and provider.is_app_only and provider.app_tenant.lower() in _OF_MANY:
        yield found(
            "E035",
            f"{where(provider, 'TENANT')} is {provider.app_tenant!r}: an app has access without a user at one tenant.",
            'Write "TENANT": the GUID or domain of the organisation whose mailboxes they are, as "contoso.com".',
        )


def scope(provider: Provider) -> Found:
    """An app asks for all that it was given, of one resource."""
    if not isinstance(provider, Microsoft) or not provider.is_app_only:
        return
    scopes = provider.app_scope.split()
    if len(scopes) != 1 or not scopes[0].endswith(ALL_GIVEN):
        yield found(
            "E036",
            f'{where(provider, "SCOPES")} must be one scope that ends with {ALL_GIVEN} where ACCESS is "app".',
            f'Take "SCOPES" out, or write "SCOPES": ["{provider.placeholders()["app_resource"]}{ALL_GIVEN}"].',
        )


CHECKS = (tenant, scope)


def files() -> Found:
    """Look at what keys, certificates and tokens are read from, on the machine where they must be."""
    if not app_settings().providers:
        return
    try:
        providers = all_providers()
    except ConfigurationError:  # said already
        return
    for provider in providers:
        for assertion in provider.client_assertions():
            if isinstance(assertion, SignedAssertion):
                yield from _of_certificate(provider, assertion)
            elif isinstance(assertion, FederatedAssertion):
                yield from _unfit(provider, assertion)
        if isinstance(provider, Google) and provider.is_app_only:
            yield from _of_service_account(provider)


def _of_certificate(provider: Provider, assertion: SignedAssertion) -> Found:
    try:
        ends_at = assertion.pair().ends_at
    except ConfigurationError as error:
        yield found("E037", str(error))
        return
    now, place = datetime.now(UTC), where(provider, "CLIENT_CERTIFICATE")
    if ends_at <= now:
        yield found("E037", f"{place} ended at {ends_at:%Y-%m-%d %H:%M} UTC: write a new one, and register it.")
    elif ends_at <= now + NOTICE:
        yield found("W035", f"{place} ends at {ends_at:%Y-%m-%d %H:%M} UTC.")


def _of_service_account(provider: Google) -> Found:
    try:
        provider.service_account().key()
    except ConfigurationError as error:
        yield found("E037", str(error))


def _unfit(provider: Provider, assertion: FederatedAssertion) -> Found:
    try:
        assertion.token()
    except ConfigurationError as error:
        yield found("E037", str(error), f"See that the platform writes its token to {where(provider)}'s file.")
