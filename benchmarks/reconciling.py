"""What a reconciliation of a table costs in which nothing has drifted.

    python -m benchmarks.reconciling

is the child process of which the peak of memory is measured; it prints one line of JSON. It counts how many sealed
values were opened, and the queries that select a column of tokens.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import django
import redis

TOKEN_COLUMNS = re.compile(r'SELECT[^(]*?"(access_token|refresh_token)".*? FROM', re.IGNORECASE | re.DOTALL)

MENDED = ("rescheduled", "adopted", "ending", "dead_leases")

TIMEOUT = 600


@dataclass(frozen=True, kw_only=True, slots=True)
class Reconciliation:
    """One walk. `amiss` is how many mailboxes were not in order, which makes it another measure.

    `peak` is the process's largest resident set, and `sent` what Redis sent, in bytes.
    """

    walked: int
    amiss: int
    cache_error: str
    seconds: float
    peak: int
    opened: int
    token_queries: int
    sent: int = 0

    @property
    def sent_per_row(self) -> float:
        """Bytes from Redis per mailbox; a token alone has 1,800."""
        return self.sent / max(self.walked, 1)


def measure_reconciliation(client: redis.Redis, *, rounds: int) -> list[Reconciliation]:
    """Reconcile so many times, each in a process of its own."""
    return [_one(client) for _ in range(rounds)]


def _one(client: redis.Redis) -> Reconciliation:
    before = client.info("stats")["total_net_output_bytes"]
    command = [sys.executable, "-m", "benchmarks.reconciling"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=TIMEOUT)
    sent = client.info("stats")["total_net_output_bytes"] - before
    return Reconciliation(**json.loads(done.stdout), sent=sent)


def _peak() -> int:
    """The largest resident set so far, in bytes; `ru_maxrss` would begin with the parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def main() -> None:
    """Reconcile, and tell."""
    django.setup()
    from django.db import connection

    from mail_oauth.sealing import Keyring
    from mail_oauth.upkeep.reconcile import reconcile_cache

    opened = token_queries = 0
    unseal = Keyring.unseal_stored

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal opened
        opened += 1
        return unseal(*args, **kwargs)

    def watch(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        nonlocal token_queries
        token_queries += bool(TOKEN_COLUMNS.search(sql))
        return execute(sql, *rest)

    Keyring.unseal_stored = counted  # type: ignore[method-assign]
    with connection.execute_wrapper(watch):
        report = asdict(reconcile_cache())
    told = {name: report[name] for name in ("walked", "cache_error", "seconds")}
    amiss = sum(report["drift"].values()) + sum(report[name] for name in MENDED)
    print(json.dumps({**told, "amiss": amiss, "peak": _peak(), "opened": opened, "token_queries": token_queries}))


if __name__ == "__main__":
    main()
