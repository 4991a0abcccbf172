"""A worker process of the benchmark: `refresh_batch` for some seconds, as a Celery task would run it.

    python -m benchmarks.worker SECONDS THREADS

It says "ready" when Django is set up, begins at the next line of its standard input, and prints one line of JSON
each second: `{"rss": bytes}`; the last one also has the report of the sweep and `cpu`, its seconds of user
and system time since it began.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
from dataclasses import asdict
from pathlib import Path

import django

SAMPLE_SECONDS = 1.0


def resident() -> int:
    """The resident set of this process, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds() -> float:
    """User and system time that this process has used."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def tell(**facts: object) -> None:
    """Print one line for the parent."""
    print(json.dumps(facts), flush=True)


def sample(over: threading.Event) -> None:
    """Tell the resident set every second until it is `over`."""
    while not over.wait(SAMPLE_SECONDS):
        tell(rss=resident())


def main(seconds: float, threads: int) -> None:
    """Sweep, and tell."""
    django.setup()
    from mail_oauth.upkeep.sweep import refresh_batch

    def revoke(row: object) -> None:
        raise AssertionError(f"{row} was never disconnected")

    print("ready", flush=True)
    sys.stdin.readline()
    over = threading.Event()
    sampler = threading.Thread(target=sample, args=[over], daemon=True)
    sampler.start()
    before = cpu_seconds()
    report = refresh_batch(revoke=revoke, seconds=seconds, threads=threads)
    cpu = cpu_seconds() - before
    over.set()
    sampler.join()
    tell(rss=resident(), cpu=cpu, **asdict(report))


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
