"""Reads and refreshes, on the database and cache that DATABASE_URL and REDIS_URL name."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import django

from benchmarks.timing import Measured, measure

HEAD = "| what | median µs | spread | CPU µs |\n|---|---|---|---|"


@contextmanager
def provider_process() -> Iterator[str]:
    """The fake provider as a process, so that its own work is not counted; its URL."""
    from tests.services.server import free_port

    port = free_port()
    command = [sys.executable, "-m", "mail_oauth.testing", f"--port={port}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def reads(rounds: int) -> list[Measured]:
    """What a caller pays for a token that is there."""
    from django.core.cache import cache

    from benchmarks.mailbox import connected_mailbox
    from mail_oauth.cache import token_cache
    from mail_oauth.encryption import keyring
    from mail_oauth.models import MailCredentials

    mailbox = connected_mailbox()
    token = mailbox.get_access_token()
    sealed = keyring().keys[0].fernet.encrypt(token.reveal().encode())
    cache.set("plain", sealed)
    decrypt = keyring().keys[0].fernet.decrypt
    manager = MailCredentials.objects

    def without_cache() -> None:
        token_cache.forget(mailbox.pk)
        mailbox.get_access_token()

    return [
        measure(
            "the cache's own get, and Fernet's decrypt",
            lambda: decrypt(cache.get("plain")),
            rounds=rounds,
            calls=200,
        ),
        measure(
            "get_access_token(pk), cached", lambda: manager.get_access_token(mailbox.pk), rounds=rounds, calls=200
        ),
        measure("the same from the database, filling the cache", without_cache, rounds=rounds, calls=20),
    ]


def refreshes(rounds: int) -> list[Measured]:
    """What one refresh costs, all of it: claim, call, judge, save, publish."""
    from benchmarks.mailbox import connected_mailbox

    mailbox = connected_mailbox()
    return [measure("refresh_now()", mailbox.refresh_now, rounds=rounds, calls=10)]


def run(rounds: int) -> None:
    """Measure in a test database, and print."""
    from django.conf import settings
    from django.db import connection
    from django.test.utils import get_runner, setup_test_environment, teardown_test_environment

    from mail_oauth.testing.provider import CLIENT_ID, CLIENT_SECRET

    setup_test_environment()
    runner = get_runner(settings)(verbosity=0, interactive=False)
    databases = runner.setup_databases()
    try:
        with provider_process() as url:
            client = {"CLIENT_ID": CLIENT_ID, "CLIENT_SECRET": CLIENT_SECRET}
            microsoft = {**client, "AUTHORITY": f"{url}/microsoft"}
            settings.MAIL_OAUTH = {"PRIVATE_HOSTS": ["127.0.0.1"], "PROVIDERS": {"microsoft": microsoft}}
            results = [*reads(rounds), *refreshes(rounds)]
    finally:
        runner.teardown_databases(databases)
        teardown_test_environment()
    cache = settings.CACHES["default"]["BACKEND"].rsplit(".", 1)[-1]
    print(
        f"Python {platform.python_version()}, Django {django.__version__}, {connection.vendor}, {cache}, {os.cpu_count()} cores\n"
    )
    print(HEAD, *(result.row() for result in results), sep="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=30, help="how many rounds each line is measured in")
    options = parser.parse_args()
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.settings"
    os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
    django.setup()
    run(options.rounds)
