"""Which policy a mailbox is under, and which mailboxes are warm: of a row, and the same in SQL."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID

from django.db.models import Q

from mail_oauth.choices import Policy
from mail_oauth.conf import app_settings
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.providers import provider_for
from mail_oauth.refresh.keeping import Keeping, keeps_warm, recently
from mail_oauth.refresh.policy import place_of_row

_NAMES = tuple(policy.value for policy in Policy)


class Kept(Protocol):
    """A row, as far as its next refresh depends on it."""

    pk: UUID
    provider: str
    refresh_policy: str
    connected_at: datetime
    last_used_at: datetime | None
    token_issued_at: datetime | None
    token_expiry: datetime | None
    refresh_token_expires_at: datetime | None


def policy_of(row: Kept) -> Policy:
    """Return the policy of a mailbox: its own, else its provider's, else that of the settings."""
    return _policy(row.refresh_policy) or policy_of_provider(row.provider)


def policy_of_provider(alias: str) -> Policy:
    """Return the policy of mailboxes that have none of their own."""
    try:
        option = provider_for(alias).setting("REFRESH_POLICY")
    except ConfigurationError:  # a pair is saved whatever became of the settings
        option = ""
    return _policy(option) or Policy(app_settings().refresh_policy)


def is_warm(row: Kept, now: datetime) -> bool:
    """Tell whether a mailbox is to have a valid token at all times."""
    return keeps_warm(policy_of(row), now, connected_at=row.connected_at, used_at=row.last_used_at)


def warm(now: datetime) -> Q:
    """Return the condition for `is_warm`."""
    recent = Q(last_used_at__gte=recently(now)) | Q(connected_at__gte=recently(now))
    return under(Policy.ALWAYS) | (under(Policy.RECENTLY_USED) & recent)


def under(policy: Policy) -> Q:
    """Return the condition for being under a policy."""
    aliases = list(app_settings().providers)
    named = [alias for alias in aliases if policy_of_provider(alias) is policy]
    others = Q(provider__in=named)
    if app_settings().refresh_policy == policy:
        others |= ~Q(provider__in=aliases)
    return Q(refresh_policy=policy.value) | (~Q(refresh_policy__in=[each.value for each in Policy]) & others)


def keeping_of(
    row: Kept,
    issued_at: datetime,
    expires_at: datetime,
    *,
    grant_ends_at: datetime | None,
    before: float | None = None,
    late: float = 0.0,
) -> Keeping:
    """Return what the next refresh of a mailbox depends on, with a token of these times (see `Keeping`)."""
    return Keeping(
        place=place_of_row(row.pk),
        policy=policy_of(row),
        connected_at=row.connected_at,
        used_at=row.last_used_at,
        issued_at=issued_at,
        expires_at=expires_at,
        before=before,
        late=late,
        grant_ends_at=grant_ends_at,
    )


def _policy(name: str) -> Policy | None:
    """Return the policy of that name; None where there is none of it."""
    return Policy(name) if name in _NAMES else None
