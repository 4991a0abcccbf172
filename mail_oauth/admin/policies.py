"""Whether a mailbox is kept warm: in words, and to choose on its page."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mail_oauth.choices import Policy
from mail_oauth.managers.keeping import policy_of
from mail_oauth.managers.vocabulary import RefreshPolicy
from mail_oauth.models import MailCredentials
from mail_oauth.operations.contract import BUDGET_SECONDS, Operation, Order, Result
from mail_oauth.upkeep.schedule import AT_ONCE, set_policies, set_policy


def policy_words(row: MailCredentials) -> str:
    """Say by which policy a mailbox is kept warm, and whose it is."""
    words = RefreshPolicy(policy_of(row).value).label
    return (
        str(words)
        if row.refresh_policy
        else _("%(policy)s (as its provider or the settings say)") % {"policy": words}
    )


def _choice(policy: Policy | None) -> Operation:
    label = RefreshPolicy(policy.value).label if policy else gettext_lazy("as the settings say")

    def choose(row: MailCredentials, _order: Order) -> Result:
        set_policy(row, policy)
        return chosen(label)

    return Operation(
        name=f"keep_{policy.value if policy else 'default'}",
        label=label,
        run=choose,
        permissions=("change",),
        offered=lambda row: row.refresh_policy != (policy.value if policy else ""),
        at_once=10_000,
    )


def chosen(label: Any) -> Result:
    """Say that a mailbox is under the policy of that label now."""
    return Result(True, format_lazy(gettext_lazy("kept warm: {policy}"), policy=label))


_OPERATIONS = {policy: _choice(policy) for policy in (None, *Policy)}
_POLICIES = {operation.name: policy for policy, operation in _OPERATIONS.items()}
POLICIES = {each.name: each for each in _OPERATIONS.values()}
"""What can be chosen, by name; those that are not `offered` are in force."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """How many mailboxes were put under a policy, how many were under it before, and how many are left to do."""

    changed: int
    same: int
    left: int


def choose_for_all(
    operation: Operation,
    queryset: QuerySet[MailCredentials],
    log: Callable[[Sequence[MailCredentials]], object],
    *,
    budget: float = BUDGET_SECONDS,
) -> Choice:
    """Choose a policy for the first `at_once` of these that are not under it, within `budget` seconds.

    Whoever chooses it again goes on with the rest. `log` gets the mailboxes that were changed, `AT_ONCE` each time.
    """
    policy = _POLICIES[operation.name]
    value = policy.value if policy else ""
    others = queryset.exclude(refresh_policy=value)
    same = queryset.filter(refresh_policy=value).count()
    plain = others.select_related(None).defer(None).only("pk", "email", "provider")
    rows = list(plain.order_by("pk")[: operation.at_once])
    give_up_at, changed, done = time.monotonic() + budget, 0, 0
    while done < len(rows) and time.monotonic() < give_up_at:
        some = rows[done : done + AT_ONCE]
        changed += set_policies([row.pk for row in some], policy)
        log(some)
        done += len(some)
    left = others.count() if done < len(rows) or done == operation.at_once else 0
    return Choice(changed=changed, same=same, left=left)
