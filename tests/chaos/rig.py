"""A database with mailboxes, processes that refresh them, and what those processes did."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from django.db import connections
from django.utils import timezone

from mail_oauth.models import MailCredentials
from mail_oauth.testing.configuring import provider_settings
from mail_oauth.testing.provider import FakeProvider
from tests.canary.spool import WATCH
from tests.chaos.rows import new_row
from tests.services import Postgres, Redis
from tests.worker.stack import SCOPES, Stack, wait_until

FULL = os.environ.get("MAIL_OAUTH_CHAOS") == "full"
SEED = int(os.environ.get("MAIL_OAUTH_CHAOS_SEED") or (time.time() if FULL else 20261123))
SHORT_CALLS = {"TOTAL_TIMEOUT": 2, "READ_TIMEOUT": 1, "CONNECT_TIMEOUT": 1, "WAIT_TIMEOUT": 6}
SHORT_LEASE = {"LEASE_SECONDS": 3, **SHORT_CALLS}
LONG_CALLS = {"LEASE_SECONDS": 120, "TOTAL_TIMEOUT": 60, "READ_TIMEOUT": 50, "WAIT_TIMEOUT": 60}
"""For tests that hold replies back: however slow the machine is, no call and no lease ends meanwhile."""
NO_BRAKE = {"BRAKE_COUNT": 1000}
"""For tests that end many grants on purpose, and look at what each mailbox says of it at once."""
CIRCUITS = {"CIRCUIT_PAUSE": 1, "CIRCUIT_CAP": 1, **NO_BRAKE}
"""Settings that keep a faulty provider's circuits open for seconds instead of minutes."""
ROOT = Path(__file__).parents[2]

report: list[str] = []
"""Figures, printed at the end of the run."""

_numbers = iter(range(1, 1_000_000))


def size(full: int, tenth: int) -> int:
    return full if FULL else tenth


class Rig(Stack):
    """`Stack` without Celery. `strict` rotates and detects reuse; at `lenient` old tokens stay valid."""

    def __init__(self, name: str, folder: Path, strict: FakeProvider, lenient: FakeProvider, url: str) -> None:
        super().__init__(name, folder, strict, url)
        self.providers = {"microsoft": strict, "lenient": lenient}
        self.postgres: Postgres | None = None
        self.redis: Redis | None = None

    @property
    def where(self) -> str:
        """What this is, for the report."""
        return f"{connections[self.alias].vendor}{' with Redis' if self.redis else ''}"

    def mailbox(self, alias: str = "microsoft", *, expired: bool = False) -> MailCredentials:
        """Connect a mailbox; with `expired`, as it is some hours after the last refresh."""
        row = new_row(self.user, **self.consent(alias))
        if expired:
            earlier = timezone.now() - timedelta(hours=3)
            row.token_issued_at, row.token_expiry = earlier, earlier + timedelta(hours=1)
        row.save(using=self.alias)
        return row

    def consent(self, alias: str) -> dict[str, Any]:
        """What somebody brings from a provider: an identity and tokens."""
        email = f"chaos{next(_numbers)}@example.com"
        provider = self.providers[alias]
        subject = provider.add_account(email).subject
        reply = provider.grant(email, personality="microsoft", scope=SCOPES)
        return {"alias": alias, "email": email, "subject": subject, "reply": reply}

    def now(self, rows: Iterable[MailCredentials]) -> list[MailCredentials]:
        """The same mailboxes as they are by now, in the same order."""
        found = self.rows.in_bulk([row.pk for row in rows])
        return [found[row.pk] for row in rows]

    def honours(self, row: MailCredentials, token: str | None = None) -> bool:
        """Whether a refresh with this token, or the stored one, would succeed: for the strict one, the newest."""
        provider = self.providers[row.provider]
        token = token or row.open_refresh_token().reveal()
        newest = not provider.policy.rotate or token == provider.newest_refresh_token(row.email)
        return newest and provider.is_current_refresh_token(token)

    def posts_of(self, row: MailCredentials) -> int:
        """How often the mailbox's provider was asked to refresh it."""
        return len(self.providers[row.provider].token_calls("refresh_token", email=row.email))

    def end_leases(self) -> None:
        """What a minute of patience would bring: whoever died or failed to save holds its lease no more."""
        long_ago = timezone.now() - timedelta(days=1)
        self.rows.exclude(lease_owner="").update(refresh_at=long_ago)

    def let_go(self) -> None:
        """Forget this process's connection: its server was ended, or its database is about to be replaced."""
        connections[self.alias].close()

    def shared_cache(self) -> dict[str, Any]:
        """An empty cache that all processes see, for `nursery`: Redis, or else a directory."""
        return {"redis": self.redis} if self.redis else {"cache_folder": self.folder / f"cache{next(_numbers)}"}

    @contextmanager
    def nursery(
        self,
        *,
        redis: Redis | None = None,
        cache_folder: Path | None = None,
        release: Path = ROOT,
        keys: Sequence[str] = (),
        **settings: Any,
    ) -> Iterator[Nursery]:
        """Fork processes from a parent with these settings, which imports `mail_oauth` from `release`.

        Without Redis or a folder, each process caches in its own memory; without `keys` it has the suite's.
        """
        fake = provider_settings(self.providers["microsoft"])
        fake["PROVIDERS"]["lenient"] = {
            **provider_settings(self.providers["lenient"])["PROVIDERS"]["microsoft"],
            "CLASS": "microsoft",
        }
        trace = self.folder / f"trace{next(_numbers)}"
        environment = {
            **self.environment,
            "MAIL_OAUTH": json.dumps({**fake, **settings}),
            "BROKER_URL": "memory://",
            "REDIS_URL": redis.url if redis else "",
            "CACHE_FOLDER": str(cache_folder or ""),
            "FERNET_KEYS": json.dumps(keys) if keys else "",
            "TRACE": str(trace),
            "PYTHONPATH": os.pathsep.join([str(release), str(ROOT)]),
        }
        if release != ROOT:  # the watch knows where this release makes its secrets
            environment.pop(WATCH, None)
        with (self.folder / "nursery.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.worker"],
                env=environment,
                cwd=release,  # `-m` looks there first
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        nursery = Nursery(process, trace, self.folder / "nursery.log")
        try:
            assert Path(nursery.hear().split()[1]).is_relative_to(release)
            yield nursery
        finally:
            process.communicate(timeout=30)

    def forget(self) -> None:
        """Remove the traces: tokens stand in them, and the watch would find them."""
        for trace in self.folder.glob("trace*"):
            trace.unlink()


@dataclass
class Nursery:
    """The parent of the processes under test."""

    process: subprocess.Popen[str]
    trace: Path
    log: Path
    pids: list[int] = field(default_factory=list)

    def fork(self, job: str, circumstances: Mapping[str, Any] | None = None, **arguments: Any) -> int:
        """Start a process on a job of `tests.chaos.jobs`, where `endure` names the circumstances; its id."""
        assert self.process.stdin is not None
        command = {"job": job, "circumstances": circumstances or {}, "arguments": arguments}
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        self.pids.append(int(self.hear()))
        return self.pids[-1]

    def hear(self) -> str:
        """The next line that the nursery says."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log.read_text()[-3000:]
        return line

    def run(self, job: str, circumstances: Mapping[str, Any] | None = None, **arguments: Any) -> list[Any]:
        """Do a job to its end; what that process did."""
        pid = self.fork(job, circumstances, **arguments)
        wait_until(lambda: not alive(pid), 120, lambda: self.log.read_text()[-3000:])
        self.pids.remove(pid)
        assert not self.events("crash")
        return [event for event in self.events() if event.pid == pid]

    def stop(self) -> None:
        """Have every process finish what it has begun, and end."""
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        self.wait()

    def wait(self, seconds: float = 120) -> None:
        """Wait until every process has ended by itself."""
        wait_until(lambda: not any(map(alive, self.pids)), seconds, lambda: self.log.read_text()[-3000:])
        self.pids.clear()

    def events(self, *names: str) -> list[SimpleNamespace]:
        """What the processes did, or those events of it, oldest first. A line that is just being written is none yet."""
        whole = self.trace.read_text().rpartition("\n")[0] if self.trace.exists() else ""
        events = [SimpleNamespace(**json.loads(line)) for line in whole.splitlines()]
        return [event for event in events if event.event in names or not names]

    def answers(self, since: float = 0) -> list[SimpleNamespace]:
        """Every token that was given out since; no process may have got an error instead."""
        events = [event for event in self.events("answer", "error", "crash") if event.at >= since]
        errors = [event for event in events if event.event != "answer"]
        assert not errors, f"{len(errors)} errors, such as {errors[0]}"
        return events


def alive(pid: int) -> bool:
    try:
        # A process that was killed is gone when its memory is, not when the signal was sent.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
