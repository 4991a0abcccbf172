"""A day of ten million mailboxes in which a provider is away for an hour: no herd afterwards.

    python -m benchmarks.simulate --mailboxes 10000000 --seed 1 --quick

Decides by the app's own functions: when a token is replaced, for how long a mailbox is postponed and a lane held.
Each simulated mailbox stands for a hundred real ones. Ends with 1 where there is a herd; `--naive` shows one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from django.conf import settings

from benchmarks.arithmetic import PAGE, replaced
from benchmarks.simulation.fleet import Fleet
from benchmarks.simulation.picture import picture
from benchmarks.simulation.record import Record
from benchmarks.simulation.report import findings, table
from benchmarks.simulation.rules import AppRules, NaiveRules
from benchmarks.simulation.scenario import DAY, HOUR, Scenario
from mail_oauth.conf import app_settings

QUICK, IN_FULL = 20_000, 100_000


def scenario_of(options: argparse.Namespace) -> Scenario:
    """Return the day that the options describe."""
    return replace(
        DAY,
        mailboxes=options.mailboxes,
        simulated=min(options.mailboxes, QUICK if options.quick else IN_FULL),
        seed=options.seed,
        imported=not options.steady,
        headroom=options.headroom,
        budget=options.budget,
        beat=options.beat,
        asked_every=options.asked_every,
        caller_patience=options.callers_wait,
        hours=options.hours,
        outage=replace(
            DAY.outage,
            begins_at=options.hours // 2 * HOUR,
            seconds=options.outage * 60,
            silent=options.silent,
        ),
    )


def describe(scenario: Scenario) -> str:
    """Say what is simulated."""
    threads = scenario.tasks * app_settings().refresh_threads
    budgets = ", ".join(
        f"{app.name} {scenario.steady(app):,.0f} (budget {scenario.calls_per_second(app):,.0f})"
        for app in scenario.apps
    )
    start = "all imported within a minute" if scenario.imported else "long connected"
    outage = scenario.outage
    return (
        f"{scenario.mailboxes:,} mailboxes, {start}, each simulated one for {scenario.weight:,.0f}; "
        f"{outage.app} {'says nothing' if outage.silent else 'answers 503'} for {outage.seconds // 60} minutes "
        f"from {outage.begins_at // HOUR:02}:00 on.\n"
        f"Calls per second that are needed: {budgets}. {scenario.tasks} sweeps, {threads} threads."
    )


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.simulate", description=__doc__)
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    made.add_argument("--mailboxes", type=int, default=DAY.mailboxes)
    made.add_argument("--seed", type=int, default=DAY.seed, help="the same seed, the same day")
    made.add_argument("--quick", action="store_true", help=f"simulate {QUICK:,} mailboxes, not {IN_FULL:,}")
    made.add_argument("--naive", action="store_true", help="a minute's jitter, nothing spread, no budget")
    made.add_argument("--steady", action="store_true", help="begin with mailboxes that have long been connected")
    made.add_argument("--silent", action="store_true", help="the provider answers nothing, instead of 503")
    made.add_argument("--hours", type=int, default=DAY.hours, help="of the day; the outage begins in the middle")
    made.add_argument("--outage", type=int, default=DAY.outage.seconds // 60, help="how many minutes it lasts")
    made.add_argument("--headroom", type=float, default=DAY.headroom, help="the fleet, by what it needs")
    made.add_argument("--budget", type=float, default=DAY.budget, help="CALLS_PER_SECOND likewise; 0 for none")
    made.add_argument("--beat", type=int, default=DAY.beat, help="seconds between two ticks of beat")
    made.add_argument("--asked-every", type=float, default=DAY.asked_every, help="seconds between two callers")
    made.add_argument(
        "--callers-wait",
        type=float,
        default=DAY.caller_patience,
        help="seconds for the budget; inf: they call at once",
    )
    made.add_argument(
        "--document", action="store_true", help=f"write what comes out into {PAGE.name}, with a picture"
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, print, and say whether there is a herd."""
    options = parser().parse_args(arguments)
    if not settings.configured:
        settings.configure(MAIL_OAUTH={}, USE_TZ=True)
    scenario = scenario_of(options)
    print(describe(scenario), end="\n\n")
    record = Fleet(scenario, NaiveRules if options.naive else AppRules).run()
    found = findings(record)
    herd = not all(finding.holds for finding in found)
    end = f"=> {'A HERD' if herd else 'No herd'}."
    print(table(record), *found, end, sep="\n")
    if options.document:
        document(record, "\n".join([describe(scenario), "", *map(str, found), end]))
    return int(herd)


def document(record: Record, summary: str) -> None:
    """Write the summary and the hours around the outage into the page, and the picture of the day over the naive one."""
    scenario = record.scenario
    naive = Fleet(scenario, NaiveRules).run()
    panels = [("As mail_oauth does it", record), ("A minute's jitter, no spreading, no budget", naive)]
    (PAGE.parent / "images" / "simulation.svg").write_text(picture(panels), encoding="utf-8")
    begin = scenario.outage.begins_at // HOUR - 1
    text = f"```text\n{summary}\n```\n\n{table(record, range(begin, min(begin + 6, scenario.hours)))}"
    PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), "simulation", text), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
