"""PostgreSQL, trusting whoever reaches its loopback port."""

import signal
import subprocess

from tests.services.programs import find_program
from tests.services.server import Server

# What a crash may lose is of no worth here.
FAST = ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]


class Postgres(Server):
    accounts = ("postgres", "nobody")
    driver = "psycopg"
    stop_signal = signal.SIGINT  # SIGTERM would wait for its clients

    def find_programs(self) -> None:
        self.initdb = find_program("initdb")
        self.postgres = find_program("postgres")
        self.pg_isready = find_program("pg_isready")

    def prepare(self) -> None:
        self.run(
            self.initdb,
            f"--pgdata={self.data}",
            "--username=mail_oauth",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
        )

    def command(self) -> list[str]:
        options = [
            "listen_addresses=127.0.0.1",
            f"port={self.port}",
            "unix_socket_directories=",
            "max_connections=200",
            *FAST,
        ]
        return [self.postgres, "-D", str(self.data), *(part for option in options for part in ("-c", option))]

    @property
    def url(self) -> str:
        return f"postgres://mail_oauth@127.0.0.1:{self.port}/postgres"

    def ready(self) -> bool:
        probe = [self.pg_isready, "--host=127.0.0.1", f"--port={self.port}", "--timeout=1", "--quiet"]
        return subprocess.run(probe, check=False).returncode == 0
