"""Mailboxes that were erased: no import brings one back, for as long as its source has it.

What is remembered are keyed digests. One that an import meets is written anew, under the first key and with its day: so the
memory outlives a rotation of keys, where an import runs while both keys are there, and `prune_events`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django.utils import timezone

from mail_oauth.encryption import digests_of
from mail_oauth.models import ErasedMailbox, MailCredentials
from mail_oauth.moving.judging import Candidate
from mail_oauth.tokens import Identity


def remember(using: str, row: MailCredentials) -> None:
    """Remember a mailbox by all its names: address, sign-in address and account."""
    names = _names(row.email, row, typed=row.address_typed)
    _write(using, row.user_id, row.provider, names)


class Memory:
    """What is remembered of some users; consulted for what is not here. What is here, its user has connected since."""

    def __init__(self, using: str, owners: Iterable[Any], *, renew: bool) -> None:
        """Look up, by one query. With `renew` what is met is written anew, in the caller's transaction."""
        self._using, self._renew = using, renew
        digests = {digest for owner in set(owners) for digest in digests_of(_text(owner))}
        rows = (
            ErasedMailbox.objects.using(using).filter(owner__in=digests)
            if digests
            else ErasedMailbox.objects.none()
        )
        self._met = dict(rows.values_list("name", "met_on"))

    def has(self, candidate: Candidate) -> bool:
        """Tell whether the mailbox of an entry was erased, under this or another name."""
        if not self._met:
            return False
        alias = candidate.provider.alias
        names = _names(candidate.email, candidate.identity, typed=candidate.entry.address_typed)
        known = [name for name in names if self._knows(candidate.user_id, alias, name)]
        if self._renew and not all(self._is_new(candidate.user_id, alias, name) for name in known):
            _write(self._using, candidate.user_id, alias, known)
        return bool(known)

    def _knows(self, owner: Any, alias: str, name: str) -> bool:
        return any(digest in self._met for digest in digests_of(_text(owner, alias, name)))

    def _is_new(self, owner: Any, alias: str, name: str) -> bool:
        return self._met.get(digests_of(_text(owner, alias, name))[0]) == timezone.now().date()


def _names(email: str, account: MailCredentials | Identity, *, typed: bool) -> list[str]:
    """Return what a mailbox is called. A shared one, whose address was typed, is not its opener's: it has that name alone."""
    if typed:
        return [email.lower()]
    addresses = [address.lower() for address in (email, account.sign_in_address) if address]
    return [*addresses, json.dumps([account.issuer, account.subject])] if account.subject else addresses


def _text(*parts: Any) -> str:
    """Return parts as one text that no other parts have."""
    return json.dumps([str(part) for part in parts])


def _write(using: str, owner: Any, alias: str, names: Iterable[str]) -> None:
    """Write names under the first key, in the place of older ones."""
    digests = [digests_of(_text(owner, alias, name)) for name in dict.fromkeys(names)]
    rows = ErasedMailbox.objects.using(using)
    rows.filter(pk__in=[each for known in digests for each in known]).delete()
    [mine, *_], today = digests_of(_text(owner)), timezone.now().date()
    made = [ErasedMailbox(name=first, owner=mine, met_on=today) for first, *_ in digests]
    rows.bulk_create(made, ignore_conflicts=True)  # another import may write the same at this moment
