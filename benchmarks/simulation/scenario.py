"""What is simulated: provider apps, an outage, a fleet. Times are seconds since the day began."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mail_oauth.conf import app_settings
from mail_oauth.managers.budget import CALLERS_AHEAD
from mail_oauth.refresh import policy

HOUR = 3600
LATENCY_SIGMA = 0.5
"""Latencies are lognormal: with this, one call in a hundred takes three times the median."""

_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProviderApp:
    """One provider app: its share of the mailboxes, and its tokens' lifetimes, even between two bounds."""

    name: str
    share: float
    lifetimes: tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outage:
    """When the token endpoint of an app answers every call with a 503, or is `silent` up to the deadline."""

    app: str
    begins_at: int
    seconds: int
    silent: bool = False

    @property
    def ends_at(self) -> int:
        """When the provider has recovered."""
        return self.begins_at + self.seconds

    def strikes(self, app: str, now: int) -> bool:
        """Tell whether calls of an app fail now."""
        return app == self.app and self.begins_at <= now < self.ends_at


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """A day on which `simulated` mailboxes stand for all of them.

    All are `imported` within the first minute, or have long been connected. The fleet and the budgets are
    `headroom` and `budget` times what the steady load needs; no budget where that is 0. A caller asks for each
    mailbox's token every `asked_every` seconds on an average, never where that is 0.
    """

    mailboxes: int
    simulated: int
    apps: tuple[ProviderApp, ...]
    outage: Outage
    seed: int = 1
    hours: int = 24
    imported: bool = True
    headroom: float = 2.0
    budget: float = 1.5
    latency: float = 0.1
    asked_every: float = 600.0
    caller_patience: float = CALLERS_AHEAD
    beat: int = 10

    @property
    def weight(self) -> float:
        """How many mailboxes one simulated one stands for."""
        return self.mailboxes / self.simulated

    def steady(self, app: ProviderApp) -> float:
        """Calls per second that an app's mailboxes need for ever."""
        return self.mailboxes * app.share / mean_period(app)

    @property
    def load(self) -> float:
        """Calls per second that all mailboxes need for ever."""
        return sum(self.steady(app) for app in self.apps)

    def calls_per_second(self, app: ProviderApp) -> float:
        """The budget of an app; infinite for none."""
        return self.steady(app) * self.budget or math.inf

    @property
    def tasks(self) -> int:
        """How many sweeps run at once: the headroom, in threads of the mean latency."""
        return math.ceil(self.load * self.headroom * self._mean_latency / app_settings().refresh_threads)

    @property
    def capacity(self) -> float:
        """Calls per second that they can make."""
        return self.tasks * app_settings().refresh_threads / self._mean_latency

    @property
    def _mean_latency(self) -> float:
        return self.latency * math.exp(LATENCY_SIGMA**2 / 2)


def mean_period(app: ProviderApp) -> float:
    """How many seconds pass between two refreshes of a mailbox, by `policy.mean_period`."""
    shortest, longest = app.lifetimes
    return sum(policy.mean_period(lifetime) for lifetime in (shortest, longest)) / 2


DAY = Scenario(
    mailboxes=10_000_000,
    simulated=100_000,
    apps=(
        ProviderApp(name="microsoft", share=0.6, lifetimes=(3600, 5400)),
        ProviderApp(name="google", share=0.4, lifetimes=(3600, 3600)),
    ),
    outage=Outage(app="microsoft", begins_at=12 * HOUR, seconds=HOUR),
)
"""The day that the documentation shows."""


def moment(seconds: float) -> datetime:
    """Return a time of the simulated day as the app's functions want it."""
    return _BEGIN + timedelta(seconds=seconds)
