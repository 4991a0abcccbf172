"""System checks: configuration mistakes, each with the line to write. `catalogue` has them all, with stable ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings
from django.core import checks

from mail_oauth.checks import (
    addresses,
    app_only,
    caches,
    durations,
    keys,
    leftovers,
    notices,
    pages,
    providers,
    sessions,
    storage,
    trust,
    workers,
)
from mail_oauth.checks.catalogue import Found, found
from mail_oauth.conf import problems

TAG = "mail_oauth"

Look = Callable[[], Found]

ALWAYS: tuple[Look, ...] = (
    providers.options,
    keys.malformed,
    durations.leases,
    durations.validity,
    durations.nothing,
    caches.alias,
    addresses.base_url,
    sessions.cookie,
    sessions.app,
    pages.middleware,
    pages.urls,
    pages.login,
    pages.templates,
    notices.links,
    notices.functions,
    notices.somebody,
    notices.mailer,
    notices.brake,
    storage.time_zones,
    storage.routing,
    storage.atomic_requests,
)
"""What is wrong on any machine."""

DEPLOYED: tuple[Look, ...] = (
    addresses.any_host,
    addresses.scheme,
    addresses.proxy,
    addresses.allowed,
    leftovers.insecure_transport,
    leftovers.testing,
    leftovers.private_hosts,
    leftovers.revealing,
    keys.secret_key,
    keys.key_file,
    keys.unbound,
    app_only.files,
    trust.authorities,
    caches.private,
    caches.full,
    sessions.private,
    notices.delivery,
    workers.schedule,
    workers.content,
    workers.time_limit,
    notices.schedule,
)
"""What is right on a laptop and wrong in production."""


def check_settings(**_: Any) -> list[checks.CheckMessage]:
    """Check `MAIL_OAUTH`: names and types first, for nothing else can be read without them."""
    texts = problems(getattr(settings, "MAIL_OAUTH", {}))
    if texts:
        return [found("E001", text, "") for text in texts]
    return _all_of(ALWAYS)


def check_deployment(**_: Any) -> list[checks.CheckMessage]:
    """Check what is right on a laptop and wrong in production."""
    return [] if problems(getattr(settings, "MAIL_OAUTH", {})) else _all_of(DEPLOYED)


def check_databases(databases: Sequence[str] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """Ask the database that holds the truth how safe it keeps it, if it is among those that are to be asked."""
    return list(storage.durability(databases or ()))


def check_keys_in_use(databases: Sequence[str] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """Check that every value in these databases is under a key that the site has."""
    return [] if problems(getattr(settings, "MAIL_OAUTH", {})) else list(keys.in_use(databases or ()))


def _all_of(looks: Sequence[Look]) -> list[checks.CheckMessage]:
    return [message for look in looks for message in look()]


def register() -> None:
    """Make the checks known to `manage.py check`."""
    checks.register(check_settings, TAG)
    checks.register(check_deployment, TAG, deploy=True)
    # Not under our tag as well: since Django 6.1 `--tag mail_oauth` alone would ask every database.
    checks.register(check_keys_in_use, checks.Tags.database)
    checks.register(check_databases, checks.Tags.database, deploy=True)
