"""How fast keys rotate while mailboxes are refreshed and written, and whether anything is lost by it.

    python -m benchmarks.rotation --mailboxes 100000

On PostgreSQL with fsync, with Redis and a token endpoint over TLS, all of it on this machine. Every token that is saved
is written down by whoever saved it; in the end each row must hold what was saved for it last, and open with the new key
alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import django

from benchmarks.servers import all_servers

OLD, NEW = "the old key of the benchmark", "the new key of the benchmark"
ACCESS_TOKEN_LENGTH, REFRESH_TOKEN_LENGTH = 1800, 1000

Held = tuple[int, str]
"""A generation, and the digest of the refresh token that was saved with it."""


# --- the processes beside the rotation ---


def load(role: str, threads: int, log: Path) -> None:
    """Refresh what is due, or write pairs to mailboxes at random, until standard input ends."""
    django.setup()
    from mail_oauth.signals import token_refreshed

    with log.open("a", buffering=1) as lines:
        lock = threading.Lock()

        def note(credentials: Any, **_: Any) -> None:
            line = f"{credentials.pk} {credentials.generation} {digest(credentials)}\n"
            with lock:
                lines.write(line)

        token_refreshed.connect(note)
        over = threading.Event()
        work = _refresh if role == "refresh" else _write
        worker = threading.Thread(target=work, args=[threads, over])
        worker.start()
        print("ready", flush=True)
        sys.stdin.read()
        over.set()
        worker.join()


def _refresh(threads: int, over: threading.Event) -> None:
    from mail_oauth.upkeep.sweep import refresh_batch

    while not over.is_set():
        refresh_batch(revoke=lambda _: None, seconds=1, threads=threads, stopped=over.is_set)


def _write(threads: int, over: threading.Event) -> None:
    """Save pairs as refreshes do: claim, compare-and-swap, event, cache; only nobody is asked for them."""
    from mail_oauth.managers.transitions import Transitions
    from mail_oauth.models import MailCredentials
    from mail_oauth.tokens import Secret, TokenSet

    pks = list(MailCredentials.objects.values_list("pk", flat=True))

    def write(number: int) -> None:
        ledger, chance = Transitions(MailCredentials.objects), random.Random(number)  # noqa: S311
        while not over.is_set():
            row = MailCredentials.objects.get(pk=chance.choice(pks))
            claimed = MailCredentials.objects.claim(row.pk, generation=row.generation, force=True)
            if claimed is None:
                continue
            access, refresh = (f"{chance.random()}".ljust(length, "w") for length in (1800, 1000))
            pair = TokenSet(access_token=Secret(access), refresh_token=Secret(refresh), expires_in=3600)
            ledger.save_tokens(claimed, pair)

    writers = [threading.Thread(target=write, args=[number]) for number in range(threads)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()


def digest(row: Any) -> str:
    """Name a row's refresh token."""
    return hashlib.sha256(row.open_refresh_token().reveal().encode()).hexdigest()[:16]


def rotate(batch: int) -> None:
    """Rotate, and print the report with the CPU it took."""
    django.setup()
    from dataclasses import asdict

    from mail_oauth.upkeep.rekey import rotate_keys

    before = _cpu()
    report = rotate_keys(batch=batch)
    print(json.dumps({**asdict(report), "cpu": _cpu() - before}))


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


# --- the measure ---


class Fleet:
    """The processes that refresh and write meanwhile, and what they have saved."""

    def __init__(self, folder: Path, *, refreshers: int, writers: int, threads: int) -> None:
        """Refreshers have `threads` each, writers one."""
        self.folder = folder
        self.roles = [("refresh", threads)] * refreshers + [("write", 1)] * writers

    @contextmanager
    def at_work(self, keys: list[str]) -> Iterator[None]:
        """Have them work with these keys."""
        environment = {**os.environ, "BENCH_FERNET_KEYS": json.dumps(keys)}
        processes = [
            subprocess.Popen(
                [
                    *(sys.executable, "-m", "benchmarks.rotation", "--role", role, "--threads", str(threads)),
                    *("--log", str(self.folder / f"{number}.log")),
                ],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number, (role, threads) in enumerate(self.roles)
        ]
        try:
            for process in processes:
                assert process.stdout is not None
                if process.stdout.readline() != "ready\n":
                    raise RuntimeError("a process did not start; its error stands above")
            yield
        finally:
            for process in processes:
                process.communicate(timeout=120)
        if any(process.returncode for process in processes):
            raise RuntimeError("a process failed; its error stands above")

    @property
    def saves(self) -> int:
        """How many pairs were saved so far."""
        return sum(len(log.read_text().splitlines()) for log in self.folder.glob("*.log"))

    def last_saved(self) -> dict[UUID, Held]:
        """What was saved last for each mailbox."""
        found: dict[UUID, Held] = {}
        for log in self.folder.glob("*.log"):
            for line in log.read_text().splitlines():
                pk, generation, name = line.split()
                held = int(generation), name
                found[UUID(pk)] = max(found.get(UUID(pk), held), held)
        return found


def stored() -> dict[UUID, Held]:
    """What each row holds; both tokens must open."""
    from mail_oauth.models import MailCredentials

    found: dict[UUID, Held] = {}
    for row in MailCredentials.objects.only("pk", "generation", *_COLUMNS).iterator(chunk_size=1000):
        if row.open_access_token() is None:
            raise RuntimeError(f"mailbox {row.pk} has no access token")
        found[row.pk] = row.generation, digest(row)
    return found


_COLUMNS = ("access_token", "refresh_token", "token_issued_at", "token_expiry")


def measure(options: argparse.Namespace, folder: Path) -> None:
    """Make mailboxes under the old key, rotate under load, and look what became of each."""
    from django.test import override_settings

    from benchmarks.mailboxes import make_due, settle

    with override_settings(FERNET_KEYS=[OLD]):
        make_due(options.mailboxes)
        settle()
        print(f"{options.mailboxes:,} mailboxes under the old key", flush=True)
    fleet = Fleet(folder, refreshers=options.refreshers, writers=options.writers, threads=options.threads)
    with override_settings(FERNET_KEYS=[OLD]):
        begun = stored()
        with fleet.at_work([OLD]):
            alone = _rate(fleet, options.seconds)
        print(f"without a rotation: {alone:,.0f} saves/s", flush=True)
    with override_settings(FERNET_KEYS=[NEW, OLD]), fleet.at_work([NEW, OLD]):
        before, at = fleet.saves, time.monotonic()
        report = _rotation(options.batch)
        beside = (fleet.saves - before) / (time.monotonic() - at)
    with override_settings(FERNET_KEYS=[NEW]):
        expected = begun | fleet.last_saved()
        rows = stored()
    lost = [pk for pk in rows.keys() | expected.keys() if rows.get(pk) != expected.get(pk)]
    print(_summary(report, beside, fleet.saves, len(lost)))
    if lost or not report["resealed"]:
        sys.exit(1)


def _rate(fleet: Fleet, seconds: float) -> float:
    before, at = fleet.saves, time.monotonic()
    time.sleep(seconds)
    return (fleet.saves - before) / (time.monotonic() - at)


def _rotation(batch: int) -> dict[str, Any]:
    environment = {**os.environ, "BENCH_FERNET_KEYS": json.dumps([NEW, OLD])}
    command = [sys.executable, "-m", "benchmarks.rotation", "--role", "rotate", "--batch", str(batch)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def _summary(report: dict[str, Any], beside: float, saves: int, lost: int) -> str:
    values, seconds = report["resealed"], report["seconds"]
    return (
        f"rotation: {values:,} values in {seconds:.1f} s, {values / seconds:,.0f} values/s "
        f"({values / seconds / 2:,.0f} rows/s), {report['cpu'] / values * 1e6:.0f} µs of its CPU each, "
        f"{report['passes']} passes, {report['changed']} values changed meanwhile, {report['unreadable']} unreadable\n"
        f"beside it: {beside:,.0f} saves/s\n"
        f"{saves:,} saves in all, lost updates: {lost}; every row opens with the new key alone"
    )


def main() -> None:
    """Measure, or be one of the processes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rotation", description=__doc__.splitlines()[0])
    parser.add_argument("--mailboxes", type=int, default=100_000)
    parser.add_argument("--refreshers", type=int, default=1, help="processes that sweep (default: 1)")
    parser.add_argument("--writers", type=int, default=1, help="processes that save pairs at random (default: 1)")
    parser.add_argument("--threads", type=int, default=16, help="of each refresher (default: 16)")
    parser.add_argument("--batch", type=int, default=500)
    parser.add_argument(
        "--seconds", type=float, default=15, help="how long the load is measured without a rotation"
    )
    parser.add_argument("--role", default="", help=argparse.SUPPRESS)
    parser.add_argument("--log", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role == "rotate":
        rotate(options.batch)
    elif options.role:
        load(options.role, options.threads, options.log)
    else:
        with all_servers(), TemporaryDirectory() as folder:
            django.setup()
            from django.core.management import call_command

            call_command("migrate", verbosity=0)
            measure(options, Path(folder))


if __name__ == "__main__":
    main()
