"""Workers and callers, through a simulated day.

Time runs in seconds, and what takes less than one is over in the second in which it began. Whatever the mailboxes
share, threads and budgets, is divided by the number of real ones that each simulated one stands for.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict, deque

from benchmarks.simulation.mailboxes import Mailboxes
from benchmarks.simulation.record import Record
from benchmarks.simulation.rules import GRANTED, SERVER_ERROR, SILENCE, AppRules
from benchmarks.simulation.scenario import LATENCY_SIGMA, Scenario
from mail_oauth.conf import app_settings
from mail_oauth.refresh.verdicts import Verdict

IMPORT_SECONDS = 60
LATENCIES = 4096


class Fleet:
    """All that happens to the mailboxes of a scenario."""

    def __init__(self, scenario: Scenario, rules: type[AppRules] = AppRules) -> None:
        """Make a day that `run()` goes through."""
        self.scenario = scenario
        self.rng = rng = random.Random(scenario.seed)  # noqa: S311  # chance, no secret
        self.rules = rules(rng)
        self.settings = app_settings()
        self.mailboxes = Mailboxes(scenario, self.rules, rng)
        self.record = Record.blank(scenario)
        budgeted = [scenario.calls_per_second(app) if rules.budgets else math.inf for app in scenario.apps]
        self.steps = [scenario.weight / calls for calls in budgeted]
        self.free_at = [0.0 for _ in scenario.apps]
        median = math.log(scenario.latency)
        self.latencies = [rng.lognormvariate(median, LATENCY_SIGMA) for _ in range(LATENCIES)]
        self.tasks = scenario.tasks
        self.messages = 0
        self.sweeps: deque[int] = deque()
        """When each running sweep ends."""
        self.thread_seconds = 0.0
        self.flying: set[int] = set()
        self.answers: dict[int, list[tuple[int, Verdict, bool]]] = defaultdict(list)
        self.visits: dict[int, list[tuple[int, int]]] = defaultdict(list)

    def run(self) -> Record:
        """Go through the day."""
        if not self.scenario.imported:
            for mailbox in range(self.scenario.simulated):
                self.mailboxes.connected_long_ago(mailbox, 0)
        for now in range(len(self.record.oldest)):
            if self.scenario.imported and now < IMPORT_SECONDS:
                self._import(now)
            self._second(now)
        return self.record

    def _import(self, now: int) -> None:
        count = self.scenario.simulated
        for mailbox in range(count * now // IMPORT_SECONDS, count * (now + 1) // IMPORT_SECONDS):
            self.mailboxes.renew(mailbox, now)

    def _second(self, now: int) -> None:
        mailboxes = self.mailboxes
        mailboxes.fall_due(now)
        for mailbox in mailboxes.age(now):
            self._expect_visit(mailbox, now)
        for mailbox, verdict, trial in self.answers.pop(now, ()):
            self.flying.discard(mailbox)
            self._settle(mailbox, verdict, now, trial=trial)
        for mailbox, expiry in self.visits.pop(now, ()):
            if mailboxes.expiry[mailbox] == expiry:
                self._visit(mailbox, now)
        self._beat(now)
        self._sweep(now)
        self._note(now)

    # --- callers ---

    def _expect_visit(self, mailbox: int, now: int) -> None:
        """Callers come at random. Those of a fresh token do nothing here; the first of an aged one is drawn."""
        if self.scenario.asked_every:
            at = now + 1 + int(self.rng.expovariate(1 / self.scenario.asked_every))
            self.visits[at].append((mailbox, self.mailboxes.expiry[mailbox]))

    def _visit(self, mailbox: int, now: int) -> None:
        """Refresh for a caller, as `managers.access` does: behind it while the token lives, else before its eyes."""
        mailboxes = self.mailboxes
        app, expiry = mailboxes.app[mailbox], mailboxes.expiry[mailbox]
        left = self.record.lanes[app].seconds_left(now)
        held, pausing = left is not None and left > 0, mailboxes.failures[mailbox] and mailboxes.due[mailbox] > now
        if held or pausing or self.free_at[app] > now + self.scenario.caller_patience:
            self.record.refused[now] += now >= expiry
        elif mailbox not in self.flying:
            at = max(now, int(self.free_at[app])) if self.scenario.caller_patience < math.inf else now
            self._spend(app, now)
            self.record.on_demand[now] += 1
            self._serve(mailbox, now, at)
        if mailboxes.expiry[mailbox] == expiry:
            self._expect_visit(mailbox, now)

    def _spend(self, app: int, now: int) -> None:
        self.free_at[app] = max(self.free_at[app], now) + self.steps[app]

    # --- sweeps ---

    def _beat(self, now: int) -> None:
        """Send messages as `refresh_due` does, and begin as many sweeps as there are workers."""
        if now % self.scenario.beat == 0:
            due = math.ceil(self.mailboxes.backlog * self.scenario.weight / self.settings.batch_size)
            self.messages += min(due, 2 * self.tasks)
        while self.sweeps and self.sweeps[0] <= now:
            self.sweeps.popleft()
        beginning = min(self.messages, self.tasks - len(self.sweeps))
        self.messages -= beginning
        self.sweeps.extend([now + self.settings.batch_seconds] * beginning)

    def _sweep(self, now: int) -> None:
        """Work with all threads until nothing is due; the apps take turns, each with its longest due mailbox."""
        if not self.sweeps:
            return
        supply = len(self.sweeps) * self.settings.refresh_threads / self.scenario.weight
        left = min(self.thread_seconds, 0.0) + supply
        serving = [app for app, queue in enumerate(self.mailboxes.queues) if queue]
        while left > 0 and serving:
            for app in tuple(serving):
                mailbox = self._next(app, now)
                if mailbox is None:
                    serving.remove(app)
                elif left > 0:
                    self._spend(app, now)
                    left -= self._serve(mailbox, now, now)
        self.thread_seconds = left
        if not any(self.mailboxes.queues):
            self.sweeps.clear()
            self.messages = 0

    def _next(self, app: int, now: int) -> int | None:
        """Return the mailbox of an app that is served next; None where none is due, or the app may not be called."""
        left = self.record.lanes[app].seconds_left(now)
        if self.free_at[app] >= now + 1 or (left is not None and left > 0):
            return None
        return self.mailboxes.longest_due(app, now)

    def _serve(self, mailbox: int, now: int, at: int) -> float:
        """Refresh or postpone a claimed mailbox; return the seconds that a thread spent."""
        lane = self.record.lanes[self.mailboxes.app[mailbox]]
        left = lane.seconds_left(now)
        if left is None:
            return self._call(mailbox, now, at, trial=False)
        if left > 0:
            self._postpone(mailbox, left, now)
            return 0.0
        lane.begin_trial(now)
        return self._call(mailbox, now, at, trial=True)

    def _postpone(self, mailbox: int, left: float, now: int) -> None:
        self.record.postponed[now] += 1
        self.mailboxes.schedule(mailbox, now + self.rules.postponement(left), now)

    # --- calls ---

    def _call(self, mailbox: int, now: int, at: int, *, trial: bool) -> float:
        app = self.mailboxes.app[mailbox]
        self.record.calls[app][min(at, len(self.record.oldest) - 1)] += 1
        outage = self.scenario.outage
        seconds = self.latencies[int(self.rng.random() * LATENCIES)]
        if not outage.strikes(self.scenario.apps[app].name, now):
            self._settle(mailbox, GRANTED, now, trial=trial)
        elif not outage.silent:
            self._settle(mailbox, SERVER_ERROR, now, trial=trial)
        else:
            seconds = self.settings.total_timeout
            self.flying.add(mailbox)
            self.mailboxes.schedule(mailbox, now + self.settings.lease_seconds, now)
            self.answers[now + math.ceil(seconds)].append((mailbox, SILENCE, trial))
        return seconds

    def _settle(self, mailbox: int, verdict: Verdict, now: int, *, trial: bool) -> None:
        mailboxes = self.mailboxes
        self.record.lanes[mailboxes.app[mailbox]].learn(mailbox, verdict, now, trial=trial)
        if verdict is GRANTED:
            mailboxes.renew(mailbox, now)
            return
        mailboxes.failures[mailbox] += 1
        delay = self.rules.retry_delay(mailboxes.failures[mailbox], verdict)
        mailboxes.schedule(mailbox, now + delay, now)

    def _note(self, now: int) -> None:
        record, mailboxes = self.record, self.mailboxes
        record.backlog[now] = mailboxes.backlog
        record.expired[now] = mailboxes.expired
        if mailboxes.backlog:
            longest = [mailboxes.longest_due(app, now) for app in range(len(self.free_at))]
            record.oldest[now] = max(now - mailboxes.due[one] for one in longest if one is not None)
