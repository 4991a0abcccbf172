"""From measures to goals and tables: what the figures say."""

from __future__ import annotations

from benchmarks import refreshing
from benchmarks.claims import CLAIMED, SMALL_ROWS
from benchmarks.pages import Page
from benchmarks.peers import Peer
from benchmarks.reads import DICT, NEAR, RAW, REDIS, Reads
from benchmarks.reconciling import Reconciliation
from benchmarks.results import Goal, Results, Table, microseconds, milliseconds, percent, times
from benchmarks.sweeping import Sweeping
from benchmarks.timing import Measured, ratio, slope

MIB = 2**20


def judge_reads(results: Results, reads: Reads) -> None:
    """Reads from the near copy, through Redis, and of the peers."""
    most = max(reads.costs[NEAR])
    _judge_near(results, reads, most)
    _judge_redis(results, reads, most)
    rows = [
        (
            name,
            f"{accounts:,}",
            microseconds(cost.wall),
            percent(cost.spread),
            _against_near(reads, name, accounts),
        )
        for name, costs in reads.costs.items()
        for accounts, cost in costs.items()
    ]
    note = "In turns within each number of accounts; up to 200 accounts, spread over all, are read one after the other."
    head = ("what", "accounts", "median", "spread", "against the near copy")
    results.add(Table(title="Reading a token", head=head, rows=rows, note=note))


def _judge_near(results: Results, reads: Reads, most: int) -> None:
    near, plain = reads.costs[NEAR][most], reads.costs[DICT][most]
    seen = f"{microseconds(near.wall)} (the dict by itself: {microseconds(plain.wall)})"
    results.add(Goal(measure="token read, near copy", seen=seen, goal="≤ 3 µs", met=near.wall <= 3e-6))
    for name in ("django-allauth", "social-auth-app-django"):
        if name not in reads.costs:
            continue
        faster = ratio(reads.costs[name][most].walls, near.walls)
        results.add(
            Goal(
                measure=f"the same, against {name}'s read",
                seen=f"{faster:,.0f} times faster",
                goal="≥ 100 times faster",
                met=faster >= 100,
            )
        )


def _against_near(reads: Reads, name: str, accounts: int) -> str:
    return times(ratio(reads.costs[name][accounts].walls, reads.costs[NEAR][accounts].walls))


def _judge_redis(results: Results, reads: Reads, most: int) -> None:
    ours, raw = reads.costs[REDIS][most], reads.costs[RAW][most]
    share = ratio(ours.walls, raw.walls)
    results.add(
        Goal(
            measure="token read, Redis, against redis-py GET and Fernet decrypt",
            seen=f"{times(share)} ({microseconds(ours.wall)} to {microseconds(raw.wall)})",
            goal="≤ 1.3 times",
            met=share <= 1.3,
        ),
        Goal(
            measure="token read, Redis: round trips, commands, database queries",
            seen=f"{reads.round_trips:.2f}, {reads.commands:.2f}, {reads.queries}",
            goal="1, 1, 0",
            met=reads.round_trips <= 1.01 and reads.commands <= 1.01 and not reads.queries,
        ),
        Goal(
            measure="Redis memory per mailbox, 1.8 KB token",
            seen=f"{reads.copy_bytes:,.0f} bytes",
            goal="≤ 3,072 bytes",
            met=reads.copy_bytes <= 3072,
        ),
    )


def judge_refreshes(results: Results, costs: dict[str, Measured]) -> None:
    """CPU per refresh, ours and the peers'."""
    ours = costs[refreshing.OURS]
    for name in ("requests-oauthlib", "Authlib", "social-auth-app-django"):
        if name in costs:
            less = ratio(costs[name].cpus, ours.cpus)
            goal = Goal(
                measure=f"CPU per refresh, against {name}'s",
                seen=f"{less:.1f} times less",
                goal="≥ 12 times less",
                met=less >= 12,
            )
            results.add(goal)
    rows = [
        (name, milliseconds(cost.cpu), percent(cost.cpu_spread), times(ratio(cost.cpus, ours.cpus)))
        for name, cost in costs.items()
    ]
    results.add(
        Table(
            title="CPU per refresh",
            head=("what", "median CPU", "spread", "against ours"),
            rows=rows,
            note=f"User and system time of the client's process, in turns: ours over {refreshing.THREADS} threads, "
            "the peers' one call after the other. All trust the same bundle: certifi's, and the endpoint's "
            "certificate. What requests-oauthlib's call brings is saved nowhere; the others keep it, as we do.",
        )
    )


def judge_load(results: Results, load: Sweeping) -> None:
    """Refreshing for long at full load: rate, CPU, connections, memory."""
    opened = load.connections / max(load.refreshed, 1)
    growth = [_growth(samples) for samples in load.rss]
    first = [samples[len(samples) // 3] / MIB for samples in load.rss]
    last = [samples[-1] / MIB for samples in load.rss]
    results.add(
        Goal(
            measure="CPU per refresh, whole path, at full load",
            seen=f"{load.cpu_per_refresh:.2f} ms",
            goal="≤ 1.8 ms",
            met=load.cpu_per_refresh <= 1.8,
        ),
        Goal(
            measure=f"refreshes per second over {load.seconds:.0f} s, TLS, 100 ms, whole path",
            seen=f"{load.rate:,.0f}, errors {load.errors}",
            goal="≥ 450, errors 0",
            met=load.rate >= 450 and not load.errors,
        ),
        Goal(measure="connections opened per refresh", seen=f"{opened:.5f}", goal="< 0.01", met=opened < 0.01),
        Goal(
            measure="memory of a worker after its warm-up",
            seen=", ".join(
                f"{begin:.0f} → {end:.0f} MiB ({grown:+.1%})"
                for begin, end, grown in zip(first, last, growth, strict=True)
            ),
            goal="flat: ± 2 %",
            met=all(abs(grown) <= 0.02 for grown in growth),
        ),
    )


def _growth(samples: list[int]) -> float:
    """By which share a worker's memory grows in the last two thirds of its time, by least squares."""
    warm = samples[len(samples) // 3 :]
    return slope(warm) * (len(warm) - 1) / warm[0]


def tabulate_crews(results: Results, crews: list[Sweeping]) -> None:
    """Refreshes per second by workers and threads."""
    rows = [
        (
            str(crew.workers),
            str(crew.threads),
            f"{crew.rate:,.0f}",
            f"{crew.cpu_per_refresh:.2f} ms",
            f"{crew.connections / max(crew.refreshed, 1):.4f}",
            str(crew.errors),
            f"{crew.seconds:.0f} s",
        )
        for crew in crews
    ]
    head = ("workers", "threads each", "refreshes/s", "CPU each", "connections each", "errors", "over")
    note = (
        "Worker processes run `refresh_batch` over TLS against an endpoint that takes 100 ms; workers, PostgreSQL, "
        "Redis and endpoint share the machine. 1,000,000 mailboxes with tokens of an hour need 278 a second."
    )
    results.add(Table(title="Refreshes per second", head=head, rows=rows, note=note))


def judge_claims(results: Results, large: Measured, small: Measured, rows: int) -> None:
    """A claim in a large table and in a small one."""
    share = ratio(large.walls, small.walls)
    results.add(
        Goal(
            measure=f"claim of {CLAIMED} due rows among {rows:,}",
            seen=f"{milliseconds(large.wall)} {percent(large.spread)}",
            goal="≤ 25 ms",
            met=large.wall <= 0.025,
        ),
        Goal(
            measure=f"the same, against a table of {SMALL_ROWS:,} rows",
            seen=f"{times(share)} ({milliseconds(small.wall)} {percent(small.spread)} there)",
            goal="the same ± 50 %",
            met=0.5 <= share <= 1.5,
        ),
    )


def judge_reconciliation(results: Results, walks: list[Reconciliation]) -> None:
    """Reconciliations in which nothing has drifted."""
    walked = walks[-1].walked
    measured = Measured(tuple(walk.seconds for walk in walks))
    peak = max(walk.peak for walk in walks) / MIB
    limit = 15.0 * max(walked, 100_000) / 1_000_000
    sent = max(walk.sent_per_row for walk in walks)
    touched = sum(walk.opened + walk.token_queries for walk in walks)
    amiss = sum(walk.amiss for walk in walks)
    errors = {walk.cache_error for walk in walks} - {""}
    results.add(
        Goal(
            measure=f"reconcile {walked:,} rows, {amiss or 'nothing'} amiss{', '.join(['', *errors])}",
            seen=f"{measured.wall:.1f} s {percent(measured.spread)}",
            goal=f"≤ {limit:.2g} s (15 s for a million)",
            met=measured.wall <= limit and not amiss and not errors,
        ),
        Goal(measure="its peak of memory", seen=f"{peak:.0f} MiB", goal="≤ 200 MB", met=peak * MIB <= 200e6),
        Goal(
            measure="its use of tokens: opened, queries that select one, bytes from Redis per row",
            seen=f"{sum(walk.opened for walk in walks)}, {sum(walk.token_queries for walk in walks)}, {sent:.0f}",
            goal="0, 0, < 100",
            met=not touched and sent < 100,
        ),
    )


def judge_pages(results: Results, pages: list[Page], rows: int) -> None:
    """The admin's pages over the large table."""
    promised = {page.name: page for page in pages if page.name in {"dashboard", "list", "search by address"}}
    filtered = max((page for page in pages if page.name.startswith("list,")), key=lambda page: page.measured.wall)
    for name, page in {**promised, f"slowest of the filtered lists ({filtered.name[6:]})": filtered}.items():
        results.add(
            Goal(
                measure=f"admin, {rows:,} mailboxes: {name}",
                seen=f"{milliseconds(page.measured.wall)} {percent(page.measured.spread)}",
                goal="≤ 300 ms",
                met=page.measured.wall <= 0.3,
            )
        )
    note = (
        "A request within the process: middleware, queries, template. Where more are found than are counted at once, "
        "PostgreSQL's estimate stands for the count."
    )
    lines = [
        (page.name, milliseconds(page.measured.wall), percent(page.measured.spread), str(page.queries))
        for page in pages
    ]
    head = ("page", "median", "spread", "queries")
    results.add(Table(title=f"Admin pages at {rows:,} mailboxes", head=head, rows=lines, note=note))


def tabulate_peers(results: Results, peers: dict[str, Peer]) -> None:
    """What is called of whom."""
    rows = [(name, _code(peer.reading), _code(peer.refreshing)) for name, peer in peers.items()]
    note = "Each from its package, with its own models and functions, as its documentation has it."
    results.add(Table(title="The peers", head=("peer", "a read", "a refresh"), rows=rows, note=note))


def _code(call: str) -> str:
    return f"`{call}`" if call else "has none"
