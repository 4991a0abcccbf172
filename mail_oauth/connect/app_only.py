"""Mailboxes that the app itself is let into: they are added by an administrator of the site, and have no user."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import IntegrityError
from django.utils import timezone

from mail_oauth.exceptions import ConfigurationError
from mail_oauth.managers.app_tokens import holder, mailbox_key, revive
from mail_oauth.managers.transitions import Transitions
from mail_oauth.managers.vocabulary import Access, EventKind, Status
from mail_oauth.models import MailCredentials
from mail_oauth.providers import Provider, provider_for
from mail_oauth.providers.claims import is_address

AT_ONCE = 500
"""For so many addresses one query looks which are there already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Added:
    """What became of addresses: `new` mailboxes, those taken into use `again`, those `known` already, and what is no address."""

    new: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def add_mailboxes(alias: str, addresses: Iterable[str], *, actor: Any = None) -> Added:
    """Add mailboxes that the app of `alias` is let into. Each new one leaves an event, of `actor` where one is named.

    Nobody is asked: whether the app may open a mailbox, its first sign-in shows. Raises `ConfigurationError` for an alias
    that gives no access without a user.
    """
    provider = provider_for(alias)
    if not provider.is_app_only:
        raise ConfigurationError(
            f'The mailboxes of {alias!r} are connected by their users: write "ACCESS": "app" in '
            f'MAIL_OAUTH["PROVIDERS"]["{alias}"], or in an alias of its own.'
        )
    fates = _Adding(provider, actor).all_of(list(dict.fromkeys(filter(None, map(str.strip, addresses)))))
    return Added(
        **{fate: tuple(each for each, came in fates.items() if came == fate) for fate in set(fates.values())}
    )


class _Adding:
    """The addition of some mailboxes to one provider."""

    def __init__(self, provider: Provider, actor: Any) -> None:
        self.provider, self.actor = provider, actor
        self.transitions = Transitions(MailCredentials.objects)
        self.rows = MailCredentials.objects.using(self.transitions.using).without_tokens()

    def all_of(self, addresses: list[str]) -> dict[str, str]:
        """Return the fate of each."""
        fates = {each: "refused" for each in addresses if not is_address(each)}
        fit = [each for each in addresses if each not in fates]
        if fit and self.provider.shares_app_token:
            revive(self.transitions, holder(self.transitions, self.provider), self.actor)
        for start in range(0, len(fit), AT_ONCE):
            keys = {mailbox_key(self.provider.alias, each): each for each in fit[start : start + AT_ONCE]}
            there = {row.app_key: row for row in self.rows.filter(app_key__in=keys)}
            fates |= {address: self._one(key, address, there.get(key)) for key, address in keys.items()}
        return {each: fates[each] for each in addresses if each in fates}

    def _one(self, key: str, address: str, row: MailCredentials | None) -> str:
        if row is None:
            try:
                self.transitions.create(self._new(key, address), actor=self.actor)
                return "new"
            except IntegrityError:  # added by another at this moment
                row = self.rows.get(app_key=key)
        if row.status != Status.DISCONNECTED:
            return "known"
        changes = self._facts() | {"status_reason": "", "use_oauth": True, "connected_at": timezone.now()}
        self.transitions.insist(row.pk, EventKind.RECONNECTED, lambda _: dict(changes), actor=self.actor)
        return "again"

    def _new(self, key: str, address: str) -> MailCredentials:
        tenant = self.provider.app_tenant or address.rpartition("@")[2].lower()
        facts = {**self._facts(), "tenant": tenant, "provider": self.provider.alias, "app_key": key}
        return MailCredentials(email=address, sign_in_address=address, address_typed=True, **facts)

    def _facts(self) -> dict[str, Any]:
        """Return how such a mailbox is opened. One without a token of its own is never due."""
        shared = self.provider.shares_app_token
        return {
            "access": Access.SHARED if shared else Access.OWN,
            "status": Status.CONNECTED,
            "requested_scopes": self.provider.app_scope,
            "refresh_at": None if shared else timezone.now(),
            "refresh_failures": 0,
            "last_refresh_error": "",
        }
