"""Everything that the app promises about speed, measured in one go, with the peers beside it.

    make bench                     about half an hour; writes docs/benchmark.md and its two pictures
    make bench ARGS=--quick        some four minutes, with smaller numbers

It starts PostgreSQL (with fsync), Redis and a TLS token endpoint of its own on loopback, in temporary directories,
and takes them away at the end. The full run wants some 6 GB of memory, 15 GB of disk and a machine that is quiet.

Where to look:

    reads.py         a token read: near copy, Redis, peers, as accounts grow
    refreshing.py    CPU per refresh in turns with the peers
    sweeping.py      refreshes per second of worker processes; `python -m benchmarks.sweeping` runs it by itself
    claims.py        a claim of due rows        reconciling.py    a walk over a table that has not drifted
    pages.py         the admin's pages over a large table; `python -m benchmarks.pages` runs it by itself
    importing.py     an import of a hundred thousand; by itself: `python -m benchmarks.importing`
    peers/           one file for each peer     endpoint.py       the token endpoint
    suite.py         the order of it all        findings.py       what the figures say        charts.py  the pictures
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

import django

from benchmarks.plan import FULL, QUICK
from benchmarks.servers import all_servers
from tests.services.programs import MissingProgram


def end_orderly(number: int, _: FrameType | None) -> None:
    """Turn SIGTERM, or the end of the time there is, into an exit that stops the servers on its way."""
    raise SystemExit(f"ended by {signal.Signals(number).name}")


def main() -> int:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller numbers, in some four minutes")
    parser.add_argument("--output", type=Path, default=Path("docs/benchmark.md"), help="where the report goes")
    options = parser.parse_args()
    plan, command = (QUICK, "make bench ARGS=--quick") if options.quick else (FULL, "make bench")
    signal.signal(signal.SIGTERM, end_orderly)
    signal.signal(signal.SIGALRM, end_orderly)
    signal.alarm(plan.limit)
    try:
        with all_servers() as (_, redis_server, endpoint), redis_server.client() as client:
            django.setup()
            from benchmarks.suite import Suite

            suite = Suite(plan, client, endpoint)
            suite.run()
        print(suite.write(options.output, command))
    except MissingProgram as missing:
        print(f"Not run: {missing}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
