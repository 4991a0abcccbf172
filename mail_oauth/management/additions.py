"""`manage.py mail_oauth add_mailbox`: mailboxes that the app itself is let into."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, OutputWrapper

from mail_oauth.connect.app_only import Added, add_mailboxes
from mail_oauth.exceptions import ConfigurationError

_WORDS = {
    "new": "added",
    "again": "taken into use again",
    "known": "there already",
    "refused": "no address",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("provider", metavar="PROVIDER", help='an alias whose "ACCESS" is "app"')
    parser.add_argument(
        "address", metavar="ADDRESS", nargs="*", help="a mailbox that an administrator lets the app into"
    )
    parser.add_argument("--file", metavar="FILE", help="also those of this file, one a line; - is standard input")


def run(options: dict[str, Any], stdout: OutputWrapper) -> None:
    """Add them, say what became of each, and fail where one is no address."""
    addresses = [*options["address"], *_of_file(options["file"])]
    if not addresses:
        raise CommandError("Give an address, or --file.")
    try:
        added = add_mailboxes(options["provider"], addresses)
    except ConfigurationError as error:
        raise CommandError(str(error)) from None
    stdout.write(as_text(added))
    if added.refused:
        raise CommandError(f"{len(added.refused)} of {len(addresses)} are no addresses.")


def as_text(added: Added) -> str:
    """Return a line for each fate, and the addresses that had it."""
    lines: list[str] = []
    for fate, words in _WORDS.items():
        if addresses := getattr(added, fate):
            lines += [f"{words}: {len(addresses)}", *(f"  {ascii(each)[1:-1]}" for each in addresses)]
    return "\n".join(lines)


def _of_file(name: str | None) -> list[str]:
    if not name:
        return []
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{name} cannot be read ({type(error).__name__}).") from None
    return [line for line in map(str.strip, text.splitlines()) if line and not line.startswith("#")]
