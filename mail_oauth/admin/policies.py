"""Whether a mailbox is kept warm: in words, and to choose on its page."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mail_oauth.admin.operations import Operation, Result
from mail_oauth.conf import Policy
from mail_oauth.managers.keeping import policy_of
from mail_oauth.managers.vocabulary import RefreshPolicy
from mail_oauth.models import MailCredentials
from mail_oauth.upkeep.schedule import set_policy


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

    def choose(row: MailCredentials, _actor: Any) -> Result:
        set_policy(row, policy)
        return Result(True, _("kept warm: %(policy)s") % {"policy": label})

    return Operation(
        name=f"keep_{policy.value if policy else 'default'}",
        label=label,
        run=choose,
        offered=lambda row: row.refresh_policy != (policy.value if policy else ""),
    )


POLICIES = {each.name: each for each in map(_choice, (None, *Policy))}
"""What can be chosen, by name; those that are not `offered` are in force."""
