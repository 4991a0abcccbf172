"""Mailboxes that one user alone may hold, where the site wants it so (`SHARED_MAILBOXES`)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Protocol

from django.db import IntegrityError, transaction
from django.db.models.functions import Lower
from django.utils import timezone

from mail_oauth.choices import Sharing
from mail_oauth.conf import app_settings
from mail_oauth.models import ConnectTurn, MailCredentials
from mail_oauth.tokens import Identity


class Claimant(Protocol):
    """Who wants a mailbox, and at which provider: a consent under way, or an entry of an import."""

    @property
    def user_id(self) -> Any:
        """The primary key of the user."""

    @property
    def provider(self) -> str:
        """The alias."""


TURNS = 256
"""So many mailboxes may be saved at once, at the most."""


@contextmanager
def one_at_a_time(using: str, claimant: Claimant, identity: Identity) -> Iterator[None]:
    """Let nobody else save the same mailbox meanwhile, where that matters; of two users one then sees the other's.

    A row is locked by changing it, which every database understands, before anything is read.
    """
    if app_settings().shared_mailboxes == Sharing.ALLOW:
        yield
        return
    names = (f"{identity.issuer} {identity.subject}", f"{claimant.provider} {identity.email.lower()}")
    with transaction.atomic(using=using):
        for number in sorted({_turn_of(name) for name in names}):  # in one order: no two wait for each other
            _take(using, number, timezone.now())
        yield


def is_held_by_another(using: str, claimant: Claimant, identity: Identity) -> bool:
    """Tell whether another user holds the mailbox, where only one may.

    An account is held by whoever has connected it. An address that the provider named is nobody else's by their
    mere word; one that was typed is held by anybody who has it: else typing would be taking over.
    """
    if app_settings().shared_mailboxes == Sharing.ALLOW:
        return False
    held = MailCredentials.objects.using(using).present().filter(user__isnull=False)
    others = held.exclude(user=claimant.user_id)  # what the app is let into is in nobody's hands
    same_account = others.filter(issuer=identity.issuer, subject=identity.subject)
    # Compared here once more: to some databases' collations "abc" and "ABC" are one subject.
    if identity.subject and (identity.issuer, identity.subject) in same_account.values_list("issuer", "subject"):
        return True
    if identity.subject and not identity.address_typed:
        return False
    of_provider = others.filter(provider=claimant.provider).alias(
        lowered=Lower("email")
    )  # `iexact` obeys collations
    return bool(of_provider.filter(lowered=identity.email.lower()).exists())


def _turn_of(name: str) -> int:
    return hashlib.sha256(name.encode()).digest()[0] % TURNS


def _take(using: str, number: int, now: datetime) -> None:
    turns = ConnectTurn.objects.using(using)
    if turns.filter(number=number).update(taken_at=now):
        return
    try:
        with transaction.atomic(using=using):
            turns.create(number=number, taken_at=now)
    except IntegrityError:  # made by another at this moment
        turns.filter(number=number).update(taken_at=now)
