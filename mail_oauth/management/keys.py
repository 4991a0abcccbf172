"""`manage.py mail_oauth generate_key|key_status|rotate_keys|bind_values`: keys, by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mail_oauth.encryption import new_key
from mail_oauth.keysource import SETTING, source_name
from mail_oauth.management.actions import add_action
from mail_oauth.management.progress import Progress
from mail_oauth.management.tables import figures, table
from mail_oauth.upkeep.keys import KeyStatus, Role, how_many_values, key_status, prove_keys
from mail_oauth.upkeep.rekey import (
    BATCH,
    BINDING,
    ROTATION,
    Change,
    RekeyReport,
    bind_values,
    rotate_keys,
)


def add_actions(actions: Any, command: BaseCommand) -> None:
    """Declare the subcommands to `command`."""
    add_action(actions, "generate_key", partial(_generate, command), "print a new key")
    status = add_action(
        actions, "key_status", partial(_status, command), "count values by key, in every encrypted column"
    )
    status.add_argument("--prove", action="store_true", help="open every value, and fail if one does not open")
    status.add_argument("--json", action="store_true", help="for programs")
    rotate = add_action(
        actions,
        "rotate_keys",
        partial(_rotate, command),
        "seal everything under the first key, while the site runs",
    )
    bind = add_action(
        actions, "bind_values", partial(_bind, command), "bind values that django-fernet-fields' own field wrote"
    )
    for parser in (rotate, bind):
        parser.add_argument("--dry-run", action="store_true", help="only say how much there is to do")
        parser.add_argument("--batch", type=_positive, default=BATCH, help=f"rows at once (default: {BATCH})")
        parser.add_argument("--limit", type=_positive, help="seal the values of so many rows, and end")


def _generate(command: BaseCommand, _options: dict[str, Any]) -> None:
    command.stdout.write(new_key())
    line = 'FERNET_KEYS = [os.environ["MAIL_OAUTH_KEY"]]  # the first seals, all open; older ones stay behind it'
    source = source_name()
    command.stderr.write(line if source == SETTING else f"Put it first in {source}; older ones stay behind it.")


def _status(command: BaseCommand, options: dict[str, Any]) -> None:
    status = _proven(command, options) if options["prove"] else key_status()
    if options["json"]:
        command.stdout.write(json.dumps(asdict(status), indent=2))
    else:
        command.stdout.write(_as_text(status))
    if status.cache_error:
        raise CommandError(f"The cache could not be reached ({status.cache_error}): parked pairs are not counted.")
    if status.unopened:
        raise CommandError(f"{status.unopened} values do not open.")


def _proven(command: BaseCommand, options: dict[str, Any]) -> KeyStatus:
    total = how_many_values() if options["verbosity"] else 0
    with Progress(command.stderr, total, "values", verbosity=options["verbosity"]) as progress:
        return prove_keys(progress)


def _as_text(status: KeyStatus) -> str:
    proof = status.unopened is not None
    words = {Role.MISSING: f"NOT IN {source_name()}"}
    rows = [
        (
            use.key,
            words.get(use.role, use.role.value),
            use.column or "-",
            use.values,
            *([use.opened] if proof else []),
        )
        for use in status.uses
    ]
    return "\n".join(
        [table(["key", "role", "column", "values", *(["opened"] if proof else [])], rows), *status.refused]
    )


def _rotate(command: BaseCommand, options: dict[str, Any]) -> None:
    report = _run(command, options, rotate_keys, ROTATION)
    remedy = "see key_status for their keys, and put missing ones back; values that are not bound need bind_values"
    _say(command, report, remedy)


def _bind(command: BaseCommand, options: dict[str, Any]) -> None:
    report = _run(command, options, bind_values, BINDING)
    _say(command, report, "no key of this site opens them")


def _run(
    command: BaseCommand, options: dict[str, Any], work: Callable[..., RekeyReport], change: Change
) -> RekeyReport:
    verbosity, limit = options["verbosity"], options["limit"]
    total = change.how_many() if verbosity else 0
    with Progress(command.stderr, total, "values", verbosity=verbosity) as progress:
        return work(batch=options["batch"], limit=limit, dry_run=options["dry_run"], progress=progress)


def _say(command: BaseCommand, report: RekeyReport, remedy: str) -> None:
    numbers = asdict(report)
    named: Iterable[str] = numbers.pop("named")
    command.stdout.write("\n".join([table(("values", "number"), figures(numbers)), *named]))
    if report.unreadable:
        raise CommandError(f"{report.unreadable} values could not be opened, and are as they were: {remedy}.")
    if report.ended == "passes":
        raise CommandError(
            "Somebody still seals under another key, or holds rows locked: begin again when that ended."
        )
    if report.cache_error:
        raise CommandError(
            f"The cache could not be reached ({report.cache_error}): parked pairs are as they were."
        )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError("out of range")
    return number
