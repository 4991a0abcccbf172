"""Refreshes per second of the whole path: claim, decrypt, POST, judge, encrypt, save, publish.

    python -m benchmarks.sweeping --workers 2 --threads 32 --seconds 20

Workers are processes that call `refresh_batch` as a Celery task does, on PostgreSQL with fsync and on Redis,
against the token endpoint of `benchmarks.endpoint` over TLS; all of it on this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field

import django

from benchmarks.servers import TokenServer, all_servers


@dataclass(frozen=True, kw_only=True, slots=True)
class Sweeping:
    """What some workers did together. `cpu` is theirs, user and system, in seconds; `rss` of each, over time."""

    workers: int
    threads: int
    seconds: float
    refreshed: int
    fates: dict[str, int]
    cpu: float
    connections: int
    posts: int
    faults: int
    rss: list[list[int]] = field(default_factory=list)
    ended: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        """Refreshes per second."""
        return self.refreshed / self.seconds

    @property
    def cpu_per_refresh(self) -> float:
        """CPU of the workers per refresh, in milliseconds."""
        return self.cpu / max(self.refreshed, 1) * 1000

    @property
    def errors(self) -> int:
        """Mailboxes that were begun, and were not refreshed."""
        return sum(self.fates.values()) - self.refreshed - self.fates.get("given_back", 0)

    def __str__(self) -> str:
        per_refresh = self.connections / max(self.refreshed, 1)
        return (
            f"{self.workers} x {self.threads} threads, {self.seconds:.1f} s: {self.rate:.0f} refreshes/s, "
            f"{self.cpu_per_refresh:.2f} ms CPU each, {per_refresh:.4f} connections each, {self.posts} POSTs, "
            f"{self.errors} errors, {self.faults} faults at the endpoint, {self.fates}, ended {set(self.ended)}"
        )


def sweep(endpoint: TokenServer, *, workers: int, threads: int, seconds: float, latency: int = 100) -> Sweeping:
    """Have `workers` processes sweep at once. Mailboxes must be due in plenty."""
    before = endpoint.stats()
    environment = {**os.environ, "BENCH_TOKEN_URL": endpoint.url(latency)}
    command = [sys.executable, "-m", "benchmarks.worker", str(seconds), str(threads)]
    processes = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(workers)
    ]
    try:
        for process in processes:
            _expect_ready(process)
        for process in processes:
            _begin(process)
        told = [_lines(process, seconds + 60) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return _summary(told, threads, before, endpoint.stats())


def _expect_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        raise RuntimeError("a worker did not start; its error stands above")


def _begin(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def _lines(process: subprocess.Popen[str], timeout: float) -> list[dict[str, float]]:
    output, _ = process.communicate(timeout=timeout)
    if process.returncode:
        raise RuntimeError("a worker failed; its error stands above")
    return [json.loads(line) for line in output.splitlines()]


def _summary(
    told: list[list[dict[str, float]]], threads: int, before: dict[str, int], after: dict[str, int]
) -> Sweeping:
    ends = [lines[-1] for lines in told]
    others = {"rss", "cpu", "ended", "seconds"}
    names = [name for name in ends[0] if name not in others]
    fates = {name: sum(int(end[name]) for end in ends) for name in names}
    counts = {name: after[name] - before[name] for name in after}
    return Sweeping(
        workers=len(told),
        threads=threads,
        seconds=max(end["seconds"] for end in ends),
        refreshed=fates["refreshed"],
        fates={name: number for name, number in fates.items() if number},
        cpu=sum(end["cpu"] for end in ends),
        connections=counts["connections"],
        posts=counts["requests"],
        faults=counts["faults"],
        rss=[[int(line["rss"]) for line in lines] for lines in told],
        ended=tuple(str(end["ended"]) for end in ends),
    )


def main() -> None:
    """Make due mailboxes, sweep, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweeping", description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--latency", type=int, default=100, help="of the endpoint, in milliseconds")
    parser.add_argument("--mailboxes", type=int, default=0, help="how many are due; by default enough")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    with all_servers() as (_, _, endpoint):
        django.setup()
        from django.core.management import call_command

        from benchmarks.mailboxes import make_due, settle

        call_command("migrate", verbosity=0)
        number = options.mailboxes or int(1000 * options.seconds * options.rounds)
        make_due(number)
        settle()
        print(f"{number} mailboxes are due.", flush=True)
        for _ in range(options.rounds):
            print(
                sweep(
                    endpoint,
                    workers=options.workers,
                    threads=options.threads,
                    seconds=options.seconds,
                    latency=options.latency,
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
