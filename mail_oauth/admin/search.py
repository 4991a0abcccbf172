"""Finding mailboxes: a UUID or a whole address by an index, whatever the size of the table; anything else by its parts."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet
from django.utils.text import smart_split, unescape_string_literal

from mail_oauth.models import MailCredentials

USERS_NAMED = 500
"""So many users at most are found by their names first; with more, the database joins the tables."""

Rows = QuerySet[MailCredentials]


def find(rows: Rows, term: str) -> Rows:
    """Narrow a list to what somebody looks for: UUID, mailbox address, sign-in address or user name."""
    term = term.strip()
    try:
        return rows.filter(pk=UUID(term))
    except ValueError:
        pass
    whole = _by_address(term) if "@" in term.strip("@") else None
    return rows.filter(_by_parts(term) if whole is None else whole)


def _by_address(address: str) -> Q | None:
    """Find a whole mailbox address; None where there is none. It may also be how its users sign in to others."""
    spellings = {address, address.lower(), f"{address.rpartition('@')[0]}@{address.rpartition('@')[2].lower()}"}
    owners = MailCredentials.objects.filter(email__in=spellings).order_by().values_list("user_id", flat=True)
    found = set(owners[: USERS_NAMED + 1])
    if not found:
        return None
    return Q(email__in=spellings) | Q(user_id__in=found - {None}, sign_in_address__in=spellings)


def _by_parts(term: str) -> Q:
    """Find rows that have every word of the term in an address or in the user's name, as Django's admin does."""
    condition = Q()
    for word in smart_split(term):
        part = unescape_string_literal(word) if word[0] in "\"'" and word[0] == word[-1] and word[1:] else word
        condition &= Q(email__icontains=part) | Q(sign_in_address__icontains=part) | _of_users(part)
    return condition


def _of_users(part: str) -> Q:
    """Find users first: joined, two tables of a million rows take PostgreSQL seconds to search."""
    model: Any = get_user_model()
    lookup = f"{model.USERNAME_FIELD}__icontains"
    named = list(
        model._default_manager.filter(**{lookup: part}).order_by().values_list("pk", flat=True)[: USERS_NAMED + 1]
    )
    return Q(user_id__in=named) if len(named) <= USERS_NAMED else Q(**{f"user__{lookup}": part})
