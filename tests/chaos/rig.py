"""A database with mailboxes, processes that refresh them, and what those processes did."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from django.utils import timezone

from mail_oauth.managers.transitions import token_changes
from mail_oauth.models import MailCredentials
from mail_oauth.refresh.replies import parse_tokens
from mail_oauth.testing.provider import FakeProvider
from tests.mailboxes import provider_settings
from tests.services import Redis
from tests.worker.stack import SCOPES, Stack, wait_until

FULL = os.environ.get("MAIL_OAUTH_CHAOS") == "full"
SEED = int(os.environ.get("MAIL_OAUTH_CHAOS_SEED") or (time.time() if FULL else 20261123))
SHORT_LEASE = {"LEASE_SECONDS": 3, "TOTAL_TIMEOUT": 2, "READ_TIMEOUT": 1, "CONNECT_TIMEOUT": 1, "WAIT_TIMEOUT": 6}

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
        self.redis: Redis | None = None

    def mailbox(self, alias: str = "microsoft", *, expired: bool = False) -> MailCredentials:
        """Connect a mailbox; with `expired`, as it is some hours after the last refresh."""
        email = f"chaos{next(_numbers)}@example.com"
        provider = self.providers[alias]
        account = provider.add_account(email)
        row = MailCredentials(
            user=self.user, provider=alias, email=email, subject=account.subject, requested_scopes=SCOPES
        )
        changes = token_changes(row, parse_tokens(provider.grant(email, personality="microsoft", scope=SCOPES)))
        if expired:
            earlier = timezone.now() - timedelta(hours=3)
            changes |= {"token_issued_at": earlier, "token_expiry": earlier + timedelta(hours=1)}
        for column, value in changes.items():
            setattr(row, column, value)
        row.save(using=self.alias)
        return row

    @contextmanager
    def nursery(self, *, redis: Redis | None = None, **settings: Any) -> Iterator[Nursery]:
        """Fork processes from a parent with these settings; without Redis, each caches in its own memory."""
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
            "TRACE": str(trace),
        }
        with (self.folder / "nursery.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.worker"],
                env=environment,
                cwd=Path(__file__).parents[2],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        nursery = Nursery(process, trace, self.folder / "nursery.log")
        try:
            nursery.hear()
            yield nursery
        finally:
            process.communicate(timeout=30)


@dataclass
class Nursery:
    """The parent of the processes under test."""

    process: subprocess.Popen[str]
    trace: Path
    log: Path
    pids: list[int] = field(default_factory=list)

    def fork(self, job: str, **arguments: Any) -> int:
        """Start a process on a job of `tests.chaos.worker`; its id."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"job": job, **arguments}) + "\n")
        self.process.stdin.flush()
        self.pids.append(int(self.hear()))
        return self.pids[-1]

    def hear(self) -> str:
        """The next line that the nursery says."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log.read_text()[-3000:]
        return line

    def wait(self, seconds: float = 60) -> None:
        """Wait until every process has ended by itself."""
        wait_until(lambda: not any(map(alive, self.pids)), seconds, lambda: self.log.read_text()[-3000:])
        self.pids.clear()

    def events(self, *names: str) -> list[SimpleNamespace]:
        """What the processes did, oldest first."""
        lines = self.trace.read_text().splitlines() if self.trace.exists() else []
        return [event for line in lines if (event := SimpleNamespace(**json.loads(line))).event in names]

    def answers(self) -> list[SimpleNamespace]:
        """Every token that was given out; no process may have got an error instead."""
        errors = self.events("error", "crash")
        assert not errors, f"{len(errors)} errors, such as {errors[0]}"
        return self.events("answer")


def alive(pid: int) -> bool:
    try:
        # A process that was killed is gone when its memory is, not when the signal was sent.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
