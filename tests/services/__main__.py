"""Runs a command beside real servers, which end with it:

    python -m tests.services postgres redis -- pytest -m database

The command finds them by DATABASE_URL and REDIS_URL; its exit code is ours. Where a server's program is missing,
the command does not run: one line says why, and the exit code is 0, or 1 under MAIL_OAUTH_REQUIRE_SERVICES=1.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType

from tests.services import MariaDB, Postgres, Redis, Server
from tests.services.programs import MissingProgram, services_required

SERVERS: dict[str, tuple[str, type[Server]]] = {
    "mariadb": ("DATABASE_URL", MariaDB),
    "postgres": ("DATABASE_URL", Postgres),
    "redis": ("REDIS_URL", Redis),
}
NAMES = [*SERVERS, "sqlite"]


def run_beside(names: list[str], command: list[str]) -> int:
    """Start the servers, run the command, stop them; the command's exit code."""
    environment = dict(os.environ)
    with contextlib.ExitStack() as running:
        for name in names:
            if name == "sqlite":
                directory = running.enter_context(tempfile.TemporaryDirectory(prefix="mail_oauth-sqlite-"))
                environment["DATABASE_URL"] = f"sqlite:///{Path(directory) / 'db.sqlite3'}"
                continue
            variable, server = SERVERS[name]
            environment[variable] = running.enter_context(server()).url
        return subprocess.run(command, env=environment, check=False).returncode


def end_orderly(number: int, frame: FrameType | None) -> None:
    """Turn SIGTERM into an exit that stops the servers on its way."""
    raise SystemExit(128 + number)


def main(arguments: list[str]) -> int:
    split = arguments.index("--") if "--" in arguments else len(arguments)
    names, command = arguments[:split], arguments[split + 1 :]
    if not names or not command or not set(names) <= set(NAMES):
        print(f"usage: python -m tests.services {{{','.join(NAMES)}}} ... -- COMMAND ...", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, end_orderly)
    try:
        return run_beside(names, command)
    except MissingProgram as missing:
        print(f"Not run on {', '.join(names)}: {missing}.")
        return 1 if services_required() else 0
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
