"""The whole benchmark, in its order. Imported when Django is set up and the servers run."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import redis

from benchmarks import findings
from benchmarks.charts import READS_TEXT, REFRESHES_TEXT, reads_chart, refreshes_chart
from benchmarks.claims import measure_claims
from benchmarks.databases import empty_peers, prepare
from benchmarks.machine import facts
from benchmarks.mailboxes import settle, top_up
from benchmarks.pages import measure_pages
from benchmarks.peers import peers
from benchmarks.plan import Plan
from benchmarks.reads import Reads, measure_reads
from benchmarks.reconciling import measure_reconciliation
from benchmarks.refreshing import measure_refreshes
from benchmarks.report import write_report
from benchmarks.results import Results
from benchmarks.servers import TokenServer
from benchmarks.sweeping import Sweeping, sweep

EXPECTED_RATE = 900
"""More refreshes a second than any crew brings: so many mailboxes are made due for each second of a sweep."""


class Suite:
    """One run: it measures from stage to stage, each of which finds what the one before left in the servers."""

    def __init__(self, plan: Plan, client: redis.Redis, endpoint: TokenServer) -> None:
        """Take the servers, which hold nothing yet."""
        self.plan = plan
        self.client = client
        self.endpoint = endpoint
        self.begun = time.monotonic()
        self.results = Results()
        self.reads = Reads()
        self.crews: list[Sweeping] = []
        self.facts: list[tuple[str, str]] = []
        self.missing: dict[str, str] = {}

    def run(self) -> None:
        """Measure everything."""
        self.facts = facts(self.client)
        prepare()
        self._measure_reads()
        self._measure_upkeep()
        self._measure_refreshes()
        self._measure_crews()
        self._measure_pages()
        self.say("done")

    def say(self, words: str) -> None:
        """Tell whoever waits what is going on."""
        print(f"{time.monotonic() - self.begun:6.0f} s  {words}", file=sys.stderr, flush=True)

    def write(self, output: Path, command: str) -> str:
        """Write the report to `output` and its pictures beside it; return the report."""
        pictures = {
            "images/bench-reads.svg": (READS_TEXT, reads_chart(self.reads)),
            "images/bench-refreshes.svg": (REFRESHES_TEXT, refreshes_chart(self.crews)),
        }
        (output.parent / "images").mkdir(parents=True, exist_ok=True)
        for path, (_, chart) in pictures.items():
            (output.parent / path).write_text(chart.svg())
        report = write_report(
            self.results,
            facts=self.facts,
            missing=self.missing,
            pictures={path: text for path, (text, _) in pictures.items()},
            command=command,
        )
        output.write_text(report)
        return report

    def _measure_reads(self) -> None:
        found, self.missing = peers(self.endpoint.url(0))
        for name, reason in self.missing.items():
            self.say(f"{name} is missing: {reason}")
        self.reads = measure_reads(self.client, found, self.plan.sizes, self.plan.read_rounds, self.say)
        findings.judge_reads(self.results, self.reads)

    def _measure_upkeep(self) -> None:
        self.say("reconciling")
        walks = measure_reconciliation(self.client, rounds=self.plan.reconcile_rounds)
        findings.judge_reconciliation(self.results, walks)
        self.say("claiming")
        large, small = measure_claims(rounds=self.plan.claim_rounds)
        findings.judge_claims(self.results, large, small, self.plan.sizes[-1])

    def _measure_refreshes(self) -> None:
        self.say("CPU per refresh, in turns")
        empty_peers()
        found, _ = peers(self.endpoint.url(0))
        costs = measure_refreshes(found, rounds=self.plan.refresh_rounds, batch=self.plan.refresh_batch)
        findings.judge_refreshes(self.results, costs)
        findings.tabulate_peers(self.results, found)

    def _measure_crews(self) -> None:
        self.crews = [self._sweep(crew, self.plan.crew_seconds) for crew in self.plan.crews]
        findings.tabulate_crews(self.results, self.crews)
        settle()
        findings.judge_load(self.results, self._sweep(self.plan.load, self.plan.load_seconds))

    def _measure_pages(self) -> None:
        """Last, for it gives mailboxes other fates than the rest was measured with."""
        self.say("the admin's pages")
        pages = measure_pages(rounds=self.plan.page_rounds)
        findings.judge_pages(self.results, pages, self.plan.sizes[-1])

    def _sweep(self, crew: tuple[int, int], seconds: float) -> Sweeping:
        """Have a crew sweep for so long, with mailboxes in plenty."""
        workers, threads = crew
        top_up(int(EXPECTED_RATE * seconds))
        self.say(f"sweeping: {workers} x {threads} threads for {seconds:.0f} s")
        done = sweep(self.endpoint, workers=workers, threads=threads, seconds=seconds)
        self.say(str(done))
        return done
