"""Which due mailboxes a sweep claims next: fair between providers, and within the budgets of calls."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass

from django.db.models import Q

from mail_oauth import parking
from mail_oauth.conf import app_settings
from mail_oauth.managers.budget import AHEAD, calls_per_second
from mail_oauth.managers.lanes import Lanes
from mail_oauth.managers.queryset import PLAIN, MailCredentialsQuerySet
from mail_oauth.metrics import CLAIMS
from mail_oauth.models import MailCredentials

OTHERS_SHARE = 4
"""While more is due than is claimed, each `OTHERS_SHARE`-th mailbox is not of the provider that most are of."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A leased row, and between which moments (by `time.monotonic`) it may be begun.

    `begin_at` keeps the pace of a provider's budget of calls; after `begin_before` too little is left of the lease.
    `may_be_parked`: a token pair may wait for it in the cache.
    """

    row: MailCredentials
    begin_before: float
    may_be_parked: bool
    begin_at: float = 0.0


class Claimer:
    """Claims for one sweep, and knows what of it is under way.

    Where a provider must be passed over, the others are asked for one by one, by the index on provider and time: a
    condition that leaves one out would read all its due mailboxes at each claim.
    """

    def __init__(self, rows: MailCredentialsQuerySet, lanes: Lanes, *, patience: float) -> None:
        """Claim among `rows`, for a sweep that begins with each within `patience` seconds."""
        self._rows = rows
        self._lanes = lanes
        self._patience = patience
        self._under_way: Counter[str] = Counter()
        self._aliases = set(app_settings().providers)
        self._rates = {alias: rate for alias in self._aliases if (rate := calls_per_second(alias)) is not None}
        self._looked_for_others = False
        self.drained = False
        """Whether nothing more was due at the last claim."""
        self.pause: float | None = None
        """In how many seconds a provider may be called again for which more is due; None where there is none."""

    def claim(self, wanted: int) -> list[Claimed]:
        """Claim up to so many due mailboxes, the longest due first where nothing speaks against it.

        Those of an app that is held stay as they are: to postpone a million of them again and again would cost
        more than to refresh them.
        """
        begin_before = time.monotonic() + self._patience
        begin_at: dict[MailCredentials, float] = {}
        self.pause = None
        held = self._lanes.held_apps()
        for alias in _shuffled(set(self._rates) - held):
            begin_at |= self._claim_paced(alias, self._rates[alias], wanted - len(begin_at))
        left = wanted - len(begin_at)
        others = self._claim_past(held, left) if held or self._rates else self._claim_fairly(left)
        rows = [*begin_at, *others]
        self.drained = len(rows) < wanted and self.pause is None
        claimed = Counter(row.provider for row in rows)
        self._under_way.update(claimed)
        for provider, number in claimed.items():
            CLAIMS.add(number, provider=provider)
        # One look for the whole claim. Who held a lease before and let it end may park its pair any moment.
        parked = parking.waiting_as_far_as_known([row.pk for row in rows]) if rows else set()
        return [
            Claimed(row, begin_before, row.pk in parked or row.outcome_unknown, begin_at.get(row, 0.0))
            for row in rows
        ]

    def done(self, row: MailCredentials) -> None:
        """Take a mailbox off what is under way."""
        self._under_way[row.provider] -= 1

    def _claim_fairly(self, wanted: int) -> list[MailCredentials]:
        """Claim the longest due first, but not all of one provider.

        One that answers slowly, with a long queue of its own, would else fill every thread, and others' tokens
        would expire meanwhile.
        """
        rows, dominant = list[MailCredentials](), self._dominant()
        if dominant is not None and not self.drained:
            rows = self._claim_each(self._aliases - {dominant}, -(-wanted // OTHERS_SHARE))
        return rows + self._rows.claim_due(wanted - len(rows)) if len(rows) < wanted else rows

    def _claim_past(self, held: set[str], wanted: int) -> list[MailCredentials]:
        """Claim of providers that are neither held nor have a budget; once in a sweep also what needs no call."""
        rows = list[MailCredentials]()
        if wanted > 0 and not self._looked_for_others:
            rows = self._rows.claim_due(wanted, ~Q(provider__in=self._aliases) | (Q(provider__in=held) & ~PLAIN))
            self._looked_for_others = len(rows) < wanted
        return rows + self._claim_each(self._aliases - held - set(self._rates), wanted - len(rows))

    def _claim_each(self, aliases: set[str], wanted: int) -> list[MailCredentials]:
        rows: list[MailCredentials] = []
        for alias in _shuffled(aliases):
            if len(rows) < wanted:
                rows += self._rows.claim_due(wanted - len(rows), Q(provider=alias))
        return rows

    def _dominant(self) -> str | None:
        """Return the provider that more than half of what is under way is of; None where there is no other."""
        [(alias, number)] = self._under_way.most_common(1) or [("", 0)]
        return alias if len(self._aliases) > 1 and number * 2 > self._under_way.total() else None

    def _claim_paced(self, alias: str, rate: float, wanted: int) -> dict[MailCredentials, float]:
        """Claim as many of a provider's mailboxes as it may be called for within a second; when to call for each."""
        if wanted <= 0:
            self.pause = 0.0
            return {}
        now = time.monotonic()
        permits = self._lanes.budgets.take(alias, rate, wanted)
        rows = self._rows.claim_due(permits.number, Q(provider=alias)) if permits.number else []
        self._lanes.budgets.give_back(alias, permits, permits.number - len(rows))
        if (
            permits.number < wanted
            and len(rows) == permits.number
            and self._rows.due().filter(provider=alias).exists()
        ):
            free_in = permits.first_in + permits.number / rate - AHEAD
            self.pause = min(free_in, free_in if self.pause is None else self.pause)
        return {row: now + permits.first_in + place * permits.every for place, row in enumerate(rows)}


def _shuffled(aliases: set[str]) -> list[str]:
    """Return them in any order, so that none is always the last to be served."""
    return random.sample(sorted(aliases), len(aliases))
