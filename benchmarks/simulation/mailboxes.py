"""The simulated mailboxes: when each is due, and how old its token is.

One mailbox is a number, and what is known of all stands in lists by that number: there are some hundred thousand of
them, and they are touched some ten million times.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict, deque

from benchmarks.simulation.rules import AppRules
from benchmarks.simulation.scenario import HOUR, Scenario
from mail_oauth.refresh import policy

Calendar = dict[int, list[int]]


class Mailboxes:
    """Rows and calendars. A mailbox that was rescheduled stays on its old page, where it is passed over."""

    def __init__(self, scenario: Scenario, rules: AppRules, rng: random.Random) -> None:
        """Distribute the mailboxes to apps and places; none has a token yet."""
        count = scenario.simulated
        self._rules, self._rng = rules, rng
        self.app: list[int] = rng.choices(
            range(len(scenario.apps)), weights=[app.share for app in scenario.apps], k=count
        )
        self._lifetimes = [app.lifetimes for app in scenario.apps]
        self.place = [rng.random() for _ in range(count)]
        self.lifetime = [0] * count
        self.due = [0] * count
        self.expiry = [0] * count
        self.aged = [0] * count
        self.failures = [0] * count
        self.expired = 0
        self.backlog = 0
        self.queues: list[deque[int]] = [deque() for _ in scenario.apps]
        self._is_expired = bytearray(count)
        self._waits = bytearray(count)
        self._due_at: Calendar = defaultdict(list)
        self._aged_at: Calendar = defaultdict(list)
        self._expired_at: Calendar = defaultdict(list)

    def renew(self, mailbox: int, now: int) -> None:
        """Give a mailbox a new token."""
        before, late = self.lifetime[mailbox] or None, 0
        if self._is_expired[mailbox]:
            self._is_expired[mailbox], late = 0, now - self.expiry[mailbox]
            self.expired -= 1
        shortest, longest = self._lifetimes[self.app[mailbox]]
        lifetime = shortest + int(self._rng.random() * (longest - shortest + 1))
        self.failures[mailbox] = 0
        self.lifetime[mailbox] = lifetime
        self.expiry[mailbox] = expiry = now + lifetime
        self.aged[mailbox] = aged = expiry - int(policy.margin(lifetime))
        self._aged_at[aged].append(mailbox)
        when = self._rules.refresh_at(now, lifetime, self.place[mailbox], before=before, late=late)
        self.schedule(mailbox, when, now)

    def connected_long_ago(self, mailbox: int, now: int) -> None:
        """Give a mailbox the token that it would have by now."""
        at = now - int((2 + self._rng.random()) * HOUR)
        while at <= now:
            self.renew(mailbox, at)
            at = self.due[mailbox]

    def schedule(self, mailbox: int, when: float, now: int) -> None:
        """Make a mailbox due then, in a second that is still to come."""
        self.backlog -= self._waits[mailbox]
        self._waits[mailbox] = 0
        due = max(math.ceil(when), now + 1)
        self.due[mailbox] = due
        self._due_at[due].append(mailbox)

    def fall_due(self, now: int) -> None:
        """Put those whose time has come at the end of their app's queue."""
        for mailbox in self._due_at.pop(now, ()):
            if self.due[mailbox] == now and not self._waits[mailbox]:
                self._waits[mailbox] = 1
                self.backlog += 1
                self.queues[self.app[mailbox]].append(mailbox)

    def longest_due(self, app: int, now: int) -> int | None:
        """Return the mailbox of an app that has been due for longest, which stays in its queue."""
        queue = self.queues[app]
        while queue:
            if self.due[queue[0]] <= now:
                return queue[0]
            queue.popleft()
        return None

    def age(self, now: int) -> list[int]:
        """Return whose token has come into its margin unrenewed, and count those that expire."""
        aging = [mailbox for mailbox in self._aged_at.pop(now, ()) if self.aged[mailbox] == now]
        for mailbox in aging:
            self._expired_at[self.expiry[mailbox]].append(mailbox)
        for mailbox in self._expired_at.pop(now, ()):
            if self.expiry[mailbox] == now:
                self._is_expired[mailbox] = 1
                self.expired += 1
        return aging
