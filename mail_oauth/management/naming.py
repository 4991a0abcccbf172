"""Which mailboxes a command means, by address or UUID."""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.management.base import CommandError
from django.db.models.functions import Lower

from mail_oauth.models import MailCredentials


def named(name: str) -> list[MailCredentials]:
    """Return the mailboxes with this UUID or address. Raises `CommandError` when there is none."""
    rows = MailCredentials.objects.present().select_related("user").order_by("provider", "pk")
    try:
        found = list(rows.filter(pk=UUID(name)))
    except ValueError:
        found = list(rows.alias(address=Lower("email")).filter(address=name.lower()))
    if not found:
        raise CommandError(f"No connected mailbox is called {name!r}: give its address or its UUID.")
    return found


def the_one_named(name: str, *, provider: str = "", user: str = "") -> MailCredentials:
    """Return the one mailbox of that name, of a provider and a user where they are given.

    Raises `CommandError`, which lists those that there are unless it is one.
    """
    every = named(name)
    found = [row for row in every if provider in {"", row.provider} and user in {"", _user_of(row)}]
    if len(found) == 1:
        return found[0]
    listed = "\n".join(f"  {row.pk}  {row.provider}  {_user_of(row) or 'the app'}" for row in found or every)
    what = "Several mailboxes are" if found else "No mailbox of that provider and user is"
    raise CommandError(f"{what} called {name!r}: choose one by --provider and --user, or by its UUID.\n{listed}")


def _user_of(row: MailCredentials) -> str:
    """Return what the user of a mailbox is called; empty where it has none."""
    return "" if row.user is None else str(getattr(row.user, get_user_model().USERNAME_FIELD))
