"""The report and its pictures: made of figures that a run would bring."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET

import pytest

from benchmarks import findings
from benchmarks.charts import reads_chart, refreshes_chart
from benchmarks.pages import Page
from benchmarks.peers.plain import RequestsOAuthlib
from benchmarks.pictures import spread_out
from benchmarks.reads import DICT, NEAR, RAW, REDIS, Reads
from benchmarks.reconciling import TOKEN_COLUMNS, Reconciliation
from benchmarks.refreshing import OURS
from benchmarks.report import write_report
from benchmarks.results import Goal, Results, Table, microseconds
from benchmarks.sweeping import Sweeping
from benchmarks.timing import Measured

SVG = "{http://www.w3.org/2000/svg}"


def cost(seconds: float) -> Measured:
    return Measured((seconds,) * 3, (seconds,) * 3)


@pytest.fixture
def reads() -> Reads:
    names = {NEAR: 1e-6, DICT: 4e-7, RAW: 5e-5, REDIS: 6e-5, "django-allauth": 4e-4, "a peer of <one> & all": 3e-4}
    found = Reads(commands=1.0, round_trips=1.0, queries=0, copy_bytes=2200)
    for accounts in (1, 100, 1_000_000):
        found.note(accounts, {name: cost(seconds) for name, seconds in names.items()})
    return found


def sweeping(workers: int, threads: int, *, refreshed: int = 5000, **fates: int) -> Sweeping:
    return Sweeping(
        workers=workers,
        threads=threads,
        seconds=10.0,
        refreshed=refreshed,
        fates={"refreshed": refreshed, **fates},
        cpu=refreshed * 0.0012,
        connections=40,
        posts=refreshed,
        faults=0,
        rss=[[100_000_000] * 12] * workers,
    )


CREWS = [sweeping(workers, threads) for workers, threads in itertools.product((1, 2), (4, 8))]


@pytest.mark.parametrize("which", ["reads", "refreshes"])
def test_a_picture_is_svg_that_stands_by_itself(reads, which):
    drawn = (reads_chart(reads) if which == "reads" else refreshes_chart(CREWS)).svg()
    root = ET.fromstring(drawn)
    assert root.tag == f"{SVG}svg"
    assert root.find(f"{SVG}title") is not None
    assert root.find(f"{SVG}desc") is not None
    assert "prefers-color-scheme: dark" in drawn
    assert not re.search(r"href|url\(|<script|@import|nan|inf\b", drawn)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for dot in root.iter(f"{SVG}circle"):
        assert 0 <= float(dot.attrib["cx"]) <= width
        assert 0 <= float(dot.attrib["cy"]) <= height


def test_every_competitor_but_the_raw_pair_is_in_the_picture(reads):
    names = {element.text for element in ET.fromstring(reads_chart(reads).svg()).iter(f"{SVG}text")}
    assert set(reads.costs) - {RAW} <= names


def test_names_at_the_ends_of_lines_do_not_overlap():
    placed = spread_out([100, 101, 99, 300, 302], 17, 310)
    ordered = sorted(placed)
    assert all(below - above >= 17 for above, below in itertools.pairwise(ordered))
    assert max(placed) <= 310
    assert sorted(range(5), key=placed.__getitem__) == [2, 0, 1, 3, 4]


def judged(reads: Reads) -> Results:
    results = Results()
    findings.judge_reads(results, reads)
    costs = {OURS: cost(0.0015), "requests-oauthlib": cost(0.020), "Authlib": cost(0.010)}
    findings.judge_refreshes(results, costs)
    findings.tabulate_peers(results, {"requests-oauthlib": RequestsOAuthlib("https://127.0.0.1/0/token")})
    findings.tabulate_crews(results, CREWS)
    findings.judge_load(results, CREWS[-1])
    findings.judge_claims(results, cost(0.010), cost(0.009), 1_000_000)
    walk = {"walked": 1_000_000, "amiss": 0, "cache_error": "", "seconds": 9.0, "peak": 90_000_000}
    findings.judge_reconciliation(results, [Reconciliation(**walk, opened=0, token_queries=0, sent=70_000_000)])
    return results


def test_a_goal_that_is_missed_says_so(reads):
    met = {goal.measure: goal.met for goal in judged(reads).goals}
    assert met["CPU per refresh, against requests-oauthlib's"]
    assert not met["CPU per refresh, against Authlib's"]
    assert sum(not kept for kept in met.values()) == 1


def test_a_reconciliation_that_opens_a_token_or_finds_drift_misses_its_goals():
    results = Results()
    walk = {"walked": 100, "cache_error": "", "seconds": 0.1, "peak": 1, "token_queries": 0}
    findings.judge_reconciliation(results, [Reconciliation(**walk, amiss=1, opened=1)])
    assert [goal.met for goal in results.goals] == [False, True, False]


def test_memory_that_grows_is_not_flat():
    results = Results()
    load = sweeping(1, 32)
    load.rss[0][:] = [100_000_000 + second * 1_000_000 for second in range(12)]
    findings.judge_load(results, load)
    assert not results.goals[-1].met


def test_errors_are_what_was_begun_and_not_refreshed():
    assert sweeping(1, 8, failed=2, broken=1, given_back=30).errors == 3


def test_a_missing_peer_is_named_in_the_report(reads):
    report = write_report(
        judged(reads),
        facts=[("processor", "a | b")],
        missing={"msal": "No module named 'msal'"},
        pictures={"images/bench-reads.svg": "Cost"},
        command="make bench",
    )
    assert "Not measured: msal" in report
    assert "![Cost](images/bench-reads.svg)" in report
    assert "a \\| b" in report
    heads = [line for line in report.splitlines() if line.startswith("| ---")]
    assert len(heads) == report.count("\n## ")


def test_a_query_for_a_token_is_seen_and_one_for_headers_is_not():
    assert TOKEN_COLUMNS.search('SELECT "t"."id", "t"."access_token" FROM "t"')
    assert not TOKEN_COLUMNS.search('SELECT "t"."id" FROM "t" WHERE "t"."refresh_token" IS NOT NULL')
    assert not TOKEN_COLUMNS.search('UPDATE "t" SET "access_token" = NULL')


def test_results_keep_goals_and_tables_apart():
    results = Results()
    results.add(Goal(measure="m", seen="s", goal="g", met=True), Table(title="t", head=("h",), rows=[("r",)]))
    assert (len(results.goals), len(results.tables)) == (1, 1)


@pytest.mark.parametrize(("seconds", "text"), [(4.2e-7, "0.42 µs"), (3.41e-5, "34.1 µs"), (0.0171, "17,100 µs")])
def test_a_short_time_is_written_with_the_digits_that_count(seconds, text):
    assert microseconds(seconds) == text


def test_a_page_that_is_too_slow_is_no_goal_met():
    def met(**slow: float) -> list[bool]:
        names = (
            "dashboard",
            "list",
            "list, connected",
            "list, of one provider",
            "search by address",
            "search by a part",
        )
        results = Results()
        pages = [Page(name=name, measured=cost(slow.get(name, 0.1)), queries=4) for name in names]
        findings.judge_pages(results, pages, 1_000_000)
        assert len(results.tables[0].rows) == len(names)
        return [goal.met for goal in results.goals]

    assert met() == [True, True, True, True]
    assert met(dashboard=0.31) == [False, True, True, True]
    assert met(**{"list, of one provider": 0.31}) == [True, True, True, False]
    assert met(**{"search by a part": 2.0}) == [True, True, True, True], "which is measured, but not promised"
