"""How long an import from Redis takes: of new mailboxes, once more of the same, and of the same with newer tokens.

    python -m benchmarks.importing --entries 100000

On PostgreSQL with fsync and a Redis, both on this machine. Each import is the command, in a process of its own, of which the
peak of memory is measured; every tenth user has ten mailboxes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
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
    """What one import took: seconds, bytes at its peak, and what it said."""

    seconds: float
    peak: int
    said: str


def fill(client: redis.Redis, entries: int, minutes: int) -> None:
    """Leave so many credentials in Redis, whose tokens end in so many minutes."""
    from django.contrib.auth.models import User
    from django.utils import timezone

    pks = list(User.objects.order_by("pk").values_list("pk", flat=True))
    ends = int((timezone.now() + timedelta(minutes=minutes)).timestamp() * 1000)
    for start in range(0, entries, _AT_ONCE):
        pipeline = client.pipeline(transaction=False)
        for number in range(start, min(start + _AT_ONCE, entries)):
            value = {
                "email": f"user{number}@example.com",
                "accessToken": f"{minutes}-{number}-".ljust(ACCESS_TOKEN_LENGTH, "a"),
                "refreshToken": f"{minutes}-{number}-".ljust(REFRESH_TOKEN_LENGTH, "r"),
                "tokenExpiry": ends,
                "useOAuth": True,
            }
            pipeline.set(f"email:credentials:{pks[number % len(pks)]}:{number}", json.dumps(value), ex=24 * 3600)
        pipeline.execute()


def users(count: int) -> None:
    """Make so many users."""
    from django.contrib.auth.models import User

    for start in range(0, count, _AT_ONCE):
        User.objects.bulk_create(User(username=f"user{number}") for number in range(start, start + _AT_ONCE))


def run_import() -> Taken:
    """Import by the command in a child process."""
    begun = time.monotonic()
    command = [sys.executable, "-m", "benchmarks.importing", "--child"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    said, _, peak = done.stdout.strip().rpartition("\n")
    return Taken(time.monotonic() - begun, int(peak), " ".join(said.split()))


def child() -> None:
    """Be the child process: import, and print the peak of memory (`ru_maxrss` would begin with the parent's)."""
    django.setup()
    from django.core.management import call_command

    url = os.environ["REDIS_URL"]
    call_command("mail_oauth", "import", "redis", "--redis-url", url, "--provider", "microsoft")
    status = Path("/proc/self/status").read_text()
    print(int(status.split("VmHWM:")[1].split()[0]) * 1024)


def measure(entries: int) -> bool:
    """Import three times; tell whether the first one was as fast as is promised."""
    from mail_oauth.models import CredentialEvent, MailCredentials

    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    users(max(int(entries * USERS_PER_ENTRY), _AT_ONCE))
    taken: dict[str, Taken] = {}
    for what, minutes in (("new", 40), ("the same again", 0), ("newer tokens", 50)):
        if minutes:
            fill(client, entries, minutes)
        taken[what] = run_import()
        found = taken[what]
        rate, peak = entries / found.seconds, found.peak / 1e6
        print(f"{what:15} {found.seconds:7.1f} s  {rate:7,.0f}/s  {peak:5.0f} MB  {found.said}", flush=True)
    rows, events = MailCredentials.objects.count(), CredentialEvent.objects.count()
    print(f"{rows:,} mailboxes, {events:,} events")
    return rows == entries and taken["new"].seconds < 120 * entries / 100_000


def main() -> None:
    """Measure, or be the child process."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.importing", description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child()
        return
    with all_servers():
        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        if not measure(options.entries):
            sys.exit(1)


if __name__ == "__main__":
    main()
