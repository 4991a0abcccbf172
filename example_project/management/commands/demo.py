"""`manage.py demo`: everything at once, on this machine alone, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from example_project.settings import BASE_DIR, DATA_DIR, MAIL_CA

PROVIDER_PORTS = ("provider_port", "imap_port", "smtp_port")
START_SECONDS = 30
STOP_SECONDS = 15


class Command(BaseCommand):
    """Starts the provider with its mail servers, a worker with beat, and the site; stops them all together."""

    help = "Run the demo: a local identity provider with mail servers, a Celery worker with beat, and the site."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the ports and how long a token lives."""
        parser.add_argument("--port", type=int, default=8000, help="port of the site (default 8000)")
        parser.add_argument("--provider-port", type=int, default=9000, help="port of the provider (default 9000)")
        parser.add_argument("--imap-port", type=int, default=9993, help="port of the mail by IMAP (default 9993)")
        parser.add_argument("--smtp-port", type=int, default=9465, help="port of the mail by SMTP (default 9465)")
        parser.add_argument("--token-seconds", type=int, default=120, help="how long access tokens live")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until Ctrl-C, SIGTERM, or the end of any part."""
        for name in ("port", *PROVIDER_PORTS):
            if _answers(options[name]):
                raise CommandError(
                    f"Port {options[name]} is taken: choose another with --{name.replace('_', '-')}."
                )
        prepare(self.stdout.write)
        environment = demo_environment(options)
        children: list[subprocess.Popen[bytes]] = []
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            for command, ports in commands(options):
                children.append(_start(command, environment))
                for name in ports:
                    _wait_for(options[name], children)
            self.stdout.write(self.style.SUCCESS(welcome(options)))
            _wait_for_an_end(children)
        except KeyboardInterrupt:
            self.stdout.write("\nStopping.")
        finally:
            _stop_all(children)


def prepare(write: Any) -> None:
    """Make the folders, the tables and the two users; what is there already stays."""
    for name in ("broker", "control", "cache"):
        (DATA_DIR / name).mkdir(parents=True, exist_ok=True)
    call_command("migrate", verbosity=0)
    users = get_user_model()._default_manager
    for name, rights in (("admin", {"is_staff": True, "is_superuser": True}), ("ada", {})):
        user, made = users.get_or_create(username=name, defaults={**rights, "email": f"{name}@demo.example"})
        if made:
            user.set_password(name)
            user.save()
            write(f"User {name!r} made, with the password {name!r}.")


def demo_environment(options: Mapping[str, Any]) -> dict[str, str]:
    """Return what the children find in their environment."""
    return {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "DEMO_SITE_URL": f"http://127.0.0.1:{options['port']}",
        "DEMO_PROVIDER_URL": f"http://127.0.0.1:{options['provider_port']}",
        "DEMO_IMAP_PORT": str(options["imap_port"]),
        "DEMO_SMTP_PORT": str(options["smtp_port"]),
    }


def commands(options: Mapping[str, Any]) -> list[tuple[list[str], tuple[str, ...]]]:
    """Return the command lines of the provider, the worker with beat, and the site, each with the ports to wait for.

    The provider comes first: the others trust the certificate that it writes.
    """
    manage = [sys.executable, str(BASE_DIR / "manage.py")]
    celery = [sys.executable, "-m", "celery", "-A", "example_project", "worker", "--beat", "--loglevel", "INFO"]
    provider = [
        *manage,
        "fake_oauth_provider",
        f"--port={options['provider_port']}",
        f"--imap-port={options['imap_port']}",
        f"--smtp-port={options['smtp_port']}",
        f"--mail-ca={MAIL_CA}",
        f"--access-token-seconds={options['token_seconds']}",
        f"--state={DATA_DIR / 'provider.json'}",
        "--account=ada@example.com",
    ]
    worker = [*celery, "--concurrency", "2", "--schedule", str(DATA_DIR / "beat"), "--without-mingle"]
    site = [*manage, "runserver", "--noreload", f"127.0.0.1:{options['port']}"]
    return [(provider, PROVIDER_PORTS), (worker, ()), (site, ("port",))]


def welcome(options: Mapping[str, Any]) -> str:
    """Say what to open."""
    site = f"http://127.0.0.1:{options['port']}"
    return (
        f"\n  The site        {site}/        sign in as ada / ada, connect a mailbox, read and send mail\n"
        f"  The admin       {site}/admin/  sign in as admin / admin\n"
        f"  The provider    http://127.0.0.1:{options['provider_port']}/\n"
        f"\n  Tokens live {options['token_seconds']} seconds; watch them being replaced. Ctrl-C stops everything.\n"
    )


def _start(command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, so that Ctrl-C reaches it through us, in order."""
    return subprocess.Popen(command, env=environment, cwd=BASE_DIR, start_new_session=True)  # noqa: S603  # our own commands


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait_for(port: int, children: list[subprocess.Popen[bytes]]) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while not _answers(port):
        _complain_of_the_dead(children)
        if time.monotonic() > give_up_at:
            raise CommandError(f"Nothing answers on port {port} after {START_SECONDS} s.")
        time.sleep(0.1)


def _wait_for_an_end(children: list[subprocess.Popen[bytes]]) -> None:
    while True:
        _complain_of_the_dead(children)
        time.sleep(0.5)


def _complain_of_the_dead(children: list[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is not None:
            raise CommandError(f"{child.args!r} ended with exit code {child.returncode}; see above.")


def _stop_all(children: list[subprocess.Popen[bytes]]) -> None:
    """Ask all to end, the site first; whoever has not ended in time is killed with its own children."""
    for child in reversed(children):
        child.terminate()
    give_up_at = time.monotonic() + STOP_SECONDS
    for child in children:
        try:
            child.wait(timeout=max(give_up_at - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
