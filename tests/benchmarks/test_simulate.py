"""The simulated day: it can be repeated, stands for the real one, and tells a herd from none."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from functools import cache

import pytest

from benchmarks import simulate
from benchmarks.simulation.fleet import Fleet
from benchmarks.simulation.lane import Lane
from benchmarks.simulation.picture import picture
from benchmarks.simulation.record import Record
from benchmarks.simulation.report import findings, steady_mean, table
from benchmarks.simulation.rules import SERVER_ERROR, AppRules, NaiveRules
from benchmarks.simulation.scenario import DAY, HOUR, Outage, Scenario

SHORT_DAY = replace(
    DAY,
    mailboxes=1_000,
    simulated=1_000,
    hours=8,
    outage=Outage(app="microsoft", begins_at=3 * HOUR, seconds=HOUR),
    asked_every=0.0,
)
"""With sweeps alone: what callers do to it has tests of its own."""


@cache
def day_of(scenario: Scenario, rules: type[AppRules] = AppRules) -> Record:
    return Fleet(scenario, rules).run()


def test_the_same_seed_makes_the_same_day():
    short = replace(SHORT_DAY, simulated=300, hours=2, asked_every=60.0)
    days = [Fleet(replace(short, seed=seed)).run() for seed in (1, 1, 2)]
    assert [each.calls for each in days[:2]] == [days[0].calls] * 2
    assert days[2].calls != days[0].calls


def test_a_sample_has_the_day_of_the_whole():
    """A tenth of the mailboxes, each for ten: the same hours, the same recovery."""
    all_of_them = replace(SHORT_DAY, mailboxes=3_000, simulated=3_000, hours=5, asked_every=600.0)
    whole, sample = day_of(all_of_them), day_of(replace(all_of_them, simulated=300))
    hours = zip(whole.loads(HOUR), sample.loads(HOUR), strict=True)
    assert all(math.isclose(many, few, rel_tol=0.12) for many, few in hours)
    assert sum(map(sum, whole.calls)) == pytest.approx(10 * sum(map(sum, sample.calls)), rel=0.03)
    at = all_of_them.outage.ends_at
    for minutes in (0, 15, 30, 45):
        now = at + minutes * 60
        assert whole.expired[now] / 3_000 == pytest.approx(sample.expired[now] / 300, abs=0.06)


@pytest.mark.parametrize("imported", [True, False], ids=["imported", "long connected"])
def test_the_steady_load_is_the_arithmetic_one(imported):
    record = day_of(replace(SHORT_DAY, imported=imported))
    assert steady_mean(record) == pytest.approx(record.scenario.load, rel=0.06)


def test_an_import_within_a_minute_makes_no_herd():
    record = day_of(SHORT_DAY)
    first_hours = record.loads(600, begin=0, end=3 * HOUR)
    assert max(first_hours) < 1.35 * record.scenario.load
    assert not any(record.expired[: 3 * HOUR])


def test_an_outage_makes_no_herd():
    found = findings(day_of(SHORT_DAY))
    assert [str(finding) for finding in found if not finding.holds] == []


@pytest.mark.parametrize("minutes", [20, 60])
def test_after_an_outage_what_is_fresh_waits_until_all_have_tokens_again(minutes):
    """Of Microsoft's mailboxes, each is called for once. Were those due early that were just served, it took 75."""
    record = day_of(replace(SHORT_DAY, outage=replace(SHORT_DAY.outage, seconds=minutes * 60)))
    begin, end = record.scenario.outage.ends_at, record.recovered_at()
    assert end is not None
    assert (end - begin) / 60 < 60
    assert sum(record.calls[0][begin:end]) < 1.1 * sum(app == 0 for app in Fleet(record.scenario).mailboxes.app)


def test_a_silent_provider_makes_no_herd_either():
    found = findings(day_of(replace(SHORT_DAY, outage=replace(SHORT_DAY.outage, silent=True))))
    assert [str(finding) for finding in found if not finding.holds] == []


def test_without_a_budget_the_fleet_is_the_bound():
    found = findings(day_of(replace(SHORT_DAY, budget=0.0, hours=6)))
    assert [str(finding) for finding in found if not finding.holds] == []
    assert any("the fleet" in finding.text for finding in found)


def test_a_day_that_ends_too_early_is_no_proof():
    [first, *_] = findings(day_of(replace(SHORT_DAY, hours=4)))
    assert not first.holds


def test_the_naive_way_makes_herds():
    """So that the proof can fail: waves after the import, and more calls than the provider allows afterwards."""
    record = day_of(SHORT_DAY, NaiveRules)
    first_hours = record.loads(600, begin=0, end=3 * HOUR)
    assert max(first_hours) > 1.7 * record.scenario.load
    failed = [finding.text for finding in findings(record) if not finding.holds]
    assert any("microsoft" in text for text in failed)
    assert any("ten minutes" in text for text in failed)


def test_a_held_lane_makes_few_calls_and_leaves_the_others_alone():
    record = day_of(SHORT_DAY)
    outage = SHORT_DAY.outage
    microsoft, google = (record.mean(outage.begins_at, outage.ends_at, app) for app in range(2))
    assert microsoft * HOUR < 30
    assert google == pytest.approx(SHORT_DAY.steady(SHORT_DAY.apps[1]), rel=0.06)


def test_callers_that_wait_for_the_budget_keep_to_it():
    waiting = replace(SHORT_DAY, asked_every=300.0, caller_patience=5.0)
    found = findings(day_of(waiting))
    assert [str(finding) for finding in found if not finding.holds] == []


def test_callers_that_do_not_wait_pass_the_budget():
    """The simulation sees what sweeps alone would hide."""
    record = day_of(replace(SHORT_DAY, asked_every=300.0, caller_patience=math.inf))
    assert any(finding.text.startswith("No second") for finding in findings(record) if not finding.holds)


def test_a_lane_is_held_and_released_as_the_app_says():
    lane = Lane(weight=1)
    for mailbox in range(3):
        lane.learn(mailbox, SERVER_ERROR, 10, trial=False)
    assert lane.seconds_left(11) is None  # the other processes have not read of it
    assert lane.seconds_left(12) == 58
    assert lane.seconds_left(70) == 0
    lane.begin_trial(70)
    lane.learn(4, SERVER_ERROR, 70, trial=True)
    assert lane.history == [(10, 60), (70, 120)]


def test_the_report_has_every_hour(capsys):
    arguments = ["--mailboxes=300", "--quick", "--hours=6", "--asked-every=0", "--outage=30"]
    simulate.main(arguments)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines if line.startswith("| 0")] == [
        f"{hour:02}" for hour in range(6)
    ]
    assert lines[-1] in {"=> No herd.", "=> A HERD."}
    assert table(day_of(SHORT_DAY)).count("\n") == 9


def test_the_picture_is_whole():
    drawn = picture([("As it is", day_of(SHORT_DAY)), ("<naive>", day_of(SHORT_DAY, NaiveRules))])
    root = ElementTree.fromstring(drawn)
    shapes = [element.get("class") for element in root.iter() if element.tag.endswith("polygon")]
    assert shapes == ["app1", "app0", "app1", "app0"]
    assert "prefers-color-scheme: dark" in drawn
