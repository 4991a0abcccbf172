"""What the benchmarks run beside: PostgreSQL as in production, Redis, and the token endpoint."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPSConnection
from pathlib import Path

import certifi

from tests.services import Postgres, Redis
from tests.transport.certificates import Authority

DURABLE = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "15min",
}
"""A commit has reached the disk when it returns; sizes as for a small server of its own."""


class DurablePostgres(Postgres):
    """The tests' PostgreSQL, which a crash costs nothing."""

    def command(self) -> list[str]:
        """Name the options once more: the last of a name counts."""
        return [*super().command(), *(part for name in DURABLE.items() for part in ("-c", "=".join(name)))]


@dataclass(frozen=True, slots=True)
class TokenServer:
    """The endpoint under way. `bundle` trusts it, and whom certifi trusts, as a real client's would."""

    port: int
    bundle: Path

    def url(self, latency: int) -> str:
        """The token endpoint that takes `latency` milliseconds to answer."""
        return f"https://127.0.0.1:{self.port}/{latency}/token"

    def stats(self) -> dict[str, int]:
        """How many `connections`, `requests` (POSTs) and `faults` there were; this look is not counted."""
        context = ssl.create_default_context(cafile=str(self.bundle))
        with contextlib.closing(
            HTTPSConnection("127.0.0.1", self.port, context=context, timeout=10)
        ) as connection:
            connection.request("GET", "/stats")
            counts: dict[str, int] = json.load(connection.getresponse())
        return {**counts, "connections": counts["connections"] - 1}


@contextlib.contextmanager
def token_server() -> Iterator[TokenServer]:
    """Start the endpoint with a certificate of its own, and end it."""
    with tempfile.TemporaryDirectory(prefix="mail_oauth-endpoint-") as directory:
        place = Path(directory)
        authority = Authority(place)
        authority.context()
        (certificate,) = place.glob("127.0.0.1-*.pem")
        bundle = place / "bundle.pem"
        bundle.write_text(Path(certifi.where()).read_text() + authority.bundle.read_text())
        command = [sys.executable, "-m", "benchmarks.endpoint", f"--certificate={certificate}"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield TokenServer(port=int(process.stdout.readline()), bundle=bundle)
        finally:
            process.stdin.close()
            process.wait(20)
            process.stdout.close()


@contextlib.contextmanager
def all_servers() -> Iterator[tuple[DurablePostgres, Redis, TokenServer]]:
    """Start all three, and name them in the environment, where this process's settings and its children look."""
    with DurablePostgres() as postgres, Redis() as redis, token_server() as endpoint:
        os.environ.update(
            DJANGO_SETTINGS_MODULE="benchmarks.settings",
            DATABASE_URL=postgres.url,
            REDIS_URL=redis.url,
            BENCH_TOKEN_URL=endpoint.url(100),
            BENCH_CA_BUNDLE=str(endpoint.bundle),
            REQUESTS_CA_BUNDLE=str(endpoint.bundle),
            NO_PROXY="127.0.0.1",
        )
        yield postgres, redis, endpoint
