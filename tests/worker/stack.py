"""A site's moving parts around one database: Celery processes on a broker, and mailboxes for them to keep."""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connections

try:
    from mail_oauth.managers.columns import token_changes
except ImportError:  # an earlier release
    from mail_oauth.managers.transitions import token_changes
from mail_oauth.models import MailCredentials
from mail_oauth.refresh.replies import parse_tokens
from mail_oauth.testing.provider import FakeProvider
from tests.services import Postgres, Redis
from tests.settings import database

SCOPES = "offline_access https://outlook.office.com/IMAP.AccessAsUser.All https://outlook.office.com/SMTP.Send"


class Stack:
    """Processes and rows. `alias` is the database's name in this process."""

    def __init__(
        self, name: str, folder: Path, provider: FakeProvider, database_url: str, **settings: Any
    ) -> None:
        # Not above: the first release, on which tests.chaos.rows runs too, has no such module.
        from mail_oauth.testing.configuring import provider_settings

        self.alias = self.name = name
        self.folder = folder
        self.provider = provider
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.worker.settings",
            "OAUTHLIB_INSECURE_TRANSPORT": "1",
            "DATABASE_URL": database_url,
            "MAIL_OAUTH": json.dumps({**provider_settings(provider), **settings}),
            "BEAT_SECONDS": "5",
            "PYTHONWARNINGS": "",
            "PYTHONUNBUFFERED": "1",
        }
        # pytest-django knows nothing of this database: it is neither created nor emptied by it.
        connections.settings[self.alias] = connections.configure_settings(
            {"default": {}, self.alias: database(database_url)}
        )[self.alias]
        call_command("migrate", database=self.alias, verbosity=0)
        self.user = User.objects.db_manager(self.alias).create_user("ada")

    # --- processes ---

    def start(self, name: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start `celery` with these arguments."""
        command = [sys.executable, "-m", "celery", "-A", "tests.worker.celery_app", *arguments]
        with self.log(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command,
                env={**self.environment, **environment},
                cwd=Path(__file__).parents[2],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self.processes[name]

    def start_worker(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a worker and wait until it works."""
        worker = self.start("worker", "worker", "--loglevel=INFO", *arguments, **environment)
        wait_until(lambda: b" ready." in self.log("worker").read_bytes(), 60, lambda: self.tail("worker"))
        return worker

    def start_beat(self, name: str = "beat") -> subprocess.Popen[bytes]:
        schedule = self.folder / f"{name}.schedule"
        return self.start(name, "beat", "--loglevel=INFO", f"--schedule={schedule}", "--pidfile=")

    def stop(self) -> dict[str, int]:
        """Send SIGTERM to every process; their exit codes."""
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        return {name: process.wait(60) for name, process in self.processes.items()}

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def tail(self, name: str) -> str:
        return self.log(name).read_text(errors="replace")[-4000:]

    def remove(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
                process.wait()
        connections[self.alias].close()
        del connections[self.alias]
        del connections.settings[self.alias]

    # --- mailboxes ---

    @property
    def rows(self) -> Any:
        return MailCredentials.objects.using(self.alias)

    def connect(self, email: str, **columns: Any) -> MailCredentials:
        """A mailbox whose tokens the provider has just issued."""
        account = self.provider.add_account(email)
        reply = self.provider.grant(email, personality="microsoft", scope=SCOPES)
        row = MailCredentials(
            user=self.user, provider="microsoft", email=email, subject=account.subject, requested_scopes=SCOPES
        )
        tokens = parse_tokens(reply)
        for name, value in {**token_changes(row, tokens), **columns}.items():
            setattr(row, name, value)
        row.save(using=self.alias)
        return row

    def posts(self, email: str) -> int:
        """How often the provider was asked to refresh this mailbox."""
        return len(self.provider.token_calls("refresh_token", email=email))


def on_filesystem(folder: Path, provider: FakeProvider, **settings: Any) -> Stack:
    """SQLite in a file, messages and cache in directories: no server at all."""
    for name in ("queue", "control", "processed", "cache"):
        (folder / name).mkdir()
    stack = Stack(folder.name, folder, provider, f"sqlite:///{folder / 'db.sqlite3'}", **settings)
    stack.environment |= {
        "BROKER_URL": "filesystem://",
        "BROKER_FOLDER": str(folder),
        "CACHE_FOLDER": str(folder / "cache"),
    }
    stack.environment.pop("REDIS_URL", None)
    return stack


def on_servers(folder: Path, provider: FakeProvider, postgres: Postgres, redis: Redis, **settings: Any) -> Stack:
    """PostgreSQL, with Redis for messages and cache."""
    postgres.start()
    redis.start()
    import psycopg

    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {folder.name}")  # type: ignore[arg-type]
        connection.execute(f"CREATE DATABASE {folder.name}")  # type: ignore[arg-type]
    stack = Stack(folder.name, folder, provider, postgres.url.replace("/postgres", f"/{folder.name}"), **settings)
    stack.environment |= {"BROKER_URL": redis.url, "REDIS_URL": redis.url}
    return stack


class Monitor:
    """Every command that a Redis is sent, word for word."""

    def __init__(self, redis: Redis) -> None:
        self.heard = bytearray()
        self._socket = socket.create_connection(("127.0.0.1", redis.port))
        self._socket.sendall(b"MONITOR\r\n")
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def stop(self) -> bytes:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
        return bytes(self.heard)

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while heard := self._socket.recv(65536):
                self.heard += heard


def unwrapped(text: bytes) -> bytes:
    """`text` and whatever stands in it in base64, in which kombu packs the bodies of messages."""
    return b"\n".join([text, *_decoded(text)])


def _decoded(text: bytes) -> Iterator[bytes]:
    for found in re.findall(rb"[A-Za-z0-9+/=]{16,}", text):
        with contextlib.suppress(binascii.Error):
            yield base64.b64decode(found, validate=True)


def wait_until(done: Callable[[], bool], seconds: float, why: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, why()
        time.sleep(0.1)
