"""The provider as a program, for demos: its options, and running until Ctrl-C or SIGTERM."""

import argparse
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from mail_oauth.testing.mailservers import MailServers
from mail_oauth.testing.provider import CLIENT_ID, CLIENT_SECRET, FakeProvider


class CannotServe(Exception):
    """The program cannot begin; the message says what to change."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the program's options."""
    add = parser.add_argument
    add("--port", type=int, default=9000, help="port on 127.0.0.1; 0 picks a free one (default 9000)")
    add("--access-token-seconds", type=int, default=3600, help="lifetime of access tokens (default 3600)")
    add("--state", metavar="FILE", help="keep accounts and grants in FILE, as digests, for the next start")
    add("--account", action="append", default=[], metavar="ADDRESS", help="somebody who can sign in; repeatable")
    add("--client-id", default=CLIENT_ID, help=f"the client's id (default {CLIENT_ID})")
    add("--client-secret", default=CLIENT_SECRET, help="the client's secret (default: a made-up one)")
    add("--no-rotate", action="store_true", help="let used refresh tokens live on, as Microsoft really does")
    add("--no-detect-reuse", action="store_true", help="do not revoke a grant whose old token is used again")
    add(
        "--mail-ca",
        metavar="FILE",
        help="serve IMAP and SMTP too, by a certificate whose authority is written here",
    )
    add("--imap-port", type=int, default=9993, help="port of IMAP, with --mail-ca (default 9993)")
    add("--smtp-port", type=int, default=9465, help="port of SMTP, with --mail-ca (default 9465)")


def provider_from(options: Mapping[str, Any]) -> FakeProvider:
    """The provider that the parsed ``options`` describe, not yet started."""
    return FakeProvider(
        port=options["port"],
        access_token_seconds=options["access_token_seconds"],
        rotate=not options["no_rotate"],
        detect_reuse=not options["no_detect_reuse"],
        state_file=options["state"],
        client_id=options["client_id"],
        client_secret=options["client_secret"],
        keep_secrets=False,
    )


def mail_from(options: Mapping[str, Any], provider: FakeProvider) -> MailServers | None:
    """The mail servers that the parsed ``options`` describe, not yet started; None where they want none."""
    if not options["mail_ca"]:
        return None
    ports = {name: options[name] for name in ("imap_port", "smtp_port")}
    return MailServers(provider, ca_file=options["mail_ca"], seeded=True, **ports)


@contextmanager
def _until_told_to_stop() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; the handlers of before are put back."""
    told = threading.Event()
    # Only the main thread may set handlers; elsewhere, whoever calls has their own way to stop.
    signals = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = [(each, signal.signal(each, lambda *_: told.set())) for each in signals]
    try:
        yield told
    finally:
        for each, handler in before:
            signal.signal(each, handler)


def run(options: Mapping[str, Any], write: Callable[[str], object]) -> None:
    """Serve until told to stop. Raises `CannotServe`, such as when a port is taken."""
    provider = provider_from(options)
    mail = mail_from(options, provider)
    with _until_told_to_stop() as told, ExitStack() as running:
        _start(running, provider, f"port {options['port']}")
        for email in options["account"]:
            if not provider.knows(email):
                provider.add_account(email)
        write(f"Fake OAuth provider: {provider.url}")
        write(f"Client id: {provider.client_id}")
        write(f"Client secret: {provider.client_secret}")
        if mail:
            _start(running, mail, f"port {options['imap_port']} or port {options['smtp_port']}")
            write(f"IMAP: 127.0.0.1:{mail.imap_port}, SMTP: 127.0.0.1:{mail.smtp_port}; trust {mail.ca_file}")
        write("Stop it with Ctrl-C.")
        told.wait()
    write("Stopped.")


def _start(running: ExitStack, servers: FakeProvider | MailServers, where: str) -> None:
    try:
        running.enter_context(servers)
    except OSError as error:
        raise CannotServe(f"Cannot listen on {where}: {error.strerror}.") from error
    except ModuleNotFoundError as error:
        raise CannotServe(str(error)) from error
