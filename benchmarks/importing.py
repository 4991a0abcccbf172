"""How long an import takes: of new mailboxes, once more of the same, and of the same with newer tokens.

    python -m benchmarks.importing --entries 100000
    python -m benchmarks.importing --entries 100000 --source jsonl

On PostgreSQL with fsync and a Redis, both on this machine. Each import is the command, in a process of its own, of which the
CPU time and the peak of memory are measured; each of the users has ten mailboxes. A machine that is busy besides makes all
of it slower, so its load is told as well.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import django
import redis

from benchmarks.servers import all_servers

USERS_PER_ENTRY = 0.1
ACCESS_TOKEN_LENGTH, REFRESH_TOKEN_LENGTH = 1800, 1000
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Taken:
    """What one import took: seconds by the clock and of its CPU, bytes at its peak, and what it said."""

    seconds: float
    cpu: float
    peak: int
    said: str


def entries_of(entries: int, minutes: int) -> Iterator[tuple[int, int, dict[str, object]]]:
    """Make so many entries, whose tokens end in so many minutes: number, user, and what an application has in Redis."""
    from django.contrib.auth.models import User
    from django.utils import timezone

    pks = list(User.objects.order_by("pk").values_list("pk", flat=True))
    ends = int((timezone.now() + timedelta(minutes=minutes)).timestamp() * 1000)
    for number in range(entries):
        value = {
            "email": f"user{number}@example.com",
            "accessToken": f"{minutes}-{number}-".ljust(ACCESS_TOKEN_LENGTH, "a"),
            "refreshToken": f"{minutes}-{number}-".ljust(REFRESH_TOKEN_LENGTH, "r"),
            "tokenExpiry": ends,
            "useOAuth": True,
        }
        yield number, pks[number % len(pks)], value


def fill_redis(entries: int, minutes: int) -> list[str]:
    """Leave entries in Redis; return how the command is told of them."""
    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    pipeline = client.pipeline(transaction=False)
    for number, user, value in entries_of(entries, minutes):
        pipeline.set(f"email:credentials:{user}:{number}", json.dumps(value), ex=24 * 3600)
        if number % _AT_ONCE == _AT_ONCE - 1:
            pipeline.execute()
    pipeline.execute()
    return ["redis", "--redis-url", os.environ["REDIS_URL"]]


def fill_lines(entries: int, minutes: int) -> list[str]:
    """Leave the same in a file, as JSON Lines have them."""
    path = Path(tempfile.gettempdir()) / f"mail_oauth-importing-{os.getpid()}.jsonl"
    with path.open("w") as file:
        for _, user, value in entries_of(entries, minutes):
            tokens = {"access_token": value["accessToken"], "refresh_token": value["refreshToken"]}
            line = {"user": user, "email": value["email"], "expires_at": value["tokenExpiry"], **tokens}
            file.write(json.dumps(line) + "\n")
    return ["jsonl", str(path)]


FILLERS = {"redis": fill_redis, "jsonl": fill_lines}


def users(count: int) -> None:
    """Make so many users."""
    from django.contrib.auth.models import User

    for start in range(0, count, _AT_ONCE):
        User.objects.bulk_create(User(username=f"user{number}") for number in range(start, start + _AT_ONCE))


def run_import(source: list[str]) -> Taken:
    """Import by the command in a child process."""
    begun = time.monotonic()
    command = [sys.executable, "-m", "benchmarks.importing", "--child", *source]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    said, _, measured = done.stdout.strip().rpartition("\n")
    cpu, peak = measured.split()
    return Taken(time.monotonic() - begun, float(cpu), int(peak), " ".join(said.split()))


def child(source: list[str]) -> None:
    """Be the child: import, and print its CPU time and its peak of memory (`ru_maxrss` would begin with the parent's)."""
    django.setup()
    from django.core.management import call_command

    call_command("mail_oauth", "import", *source, "--provider", "microsoft")
    status = Path("/proc/self/status").read_text()
    print(time.process_time(), int(status.split("VmHWM:")[1].split()[0]) * 1024)


def measure(entries: int, source: str) -> bool:
    """Import three times; tell whether the first one was as fast as is promised."""
    from mail_oauth.models import CredentialEvent, MailCredentials

    users(max(int(entries * USERS_PER_ENTRY), _AT_ONCE))
    taken: dict[str, Taken] = {}
    named: list[str] = []
    for what, minutes in (("new", 40), ("the same again", 0), ("newer tokens", 50)):
        if minutes:
            named = FILLERS[source](entries, minutes)
        found = taken[what] = run_import(named)
        rate, peak, load = entries / found.seconds, found.peak / 1e6, os.getloadavg()[0]
        print(
            f"{what:15} {found.seconds:7.1f} s  {rate:7,.0f}/s  CPU {found.cpu:6.1f} s  {peak:5.0f} MB  "
            f"load {load:.1f}  {found.said}",
            flush=True,
        )
    rows, events = MailCredentials.objects.count(), CredentialEvent.objects.count()
    print(f"{rows:,} mailboxes, {events:,} events")
    if source == "jsonl":
        Path(named[1]).unlink()
    return rows == entries and taken["new"].seconds < 120 * entries / 100_000


def main() -> None:
    """Measure, or be the child process."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.importing", description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--source", choices=FILLERS, default="redis")
    parser.add_argument("--child", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    with all_servers():
        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        if not measure(options.entries, options.source):
            sys.exit(1)


if __name__ == "__main__":
    main()
