"""`manage.py mail_oauth test_mailbox`: a mailbox signed in to, as a list of steps, or as JSON for programs."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError, OutputWrapper
from django.core.management.color import Style
from django.utils.translation import override

from mail_oauth.mailbox.stages import Stage
from mail_oauth.mailbox.trials import Outcome, Step
from mail_oauth.management.naming import the_one_named
from mail_oauth.upkeep.signing_in import PROTOCOLS, SignIns, sign_in_everywhere

SCHEMA = 1
"""The version of the JSON: raised when a member changes its meaning or goes, not when one is added."""

_MARKS = {
    Outcome.OK: "\N{CHECK MARK}",
    Outcome.FAILED: "\N{BALLOT X}",
    Outcome.SKIPPED: "\N{EN DASH}",
}
_PLAIN_MARKS = {Outcome.OK: "+", Outcome.FAILED: "x", Outcome.SKIPPED: "-"}
"""For terminals that have no others."""

_INDENT = "    "


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("mailbox", metavar="ADDRESS", help="an address or a UUID")
    parser.add_argument(
        "--provider", default="", metavar="ALIAS", help="of several mailboxes, that of this provider"
    )
    parser.add_argument("--user", default="", metavar="NAME", help="of several mailboxes, that of this user")
    parser.add_argument(
        "--protocol",
        action="append",
        choices=[name.lower() for name in PROTOCOLS],
        help="may be given several times (default: all)",
    )
    parser.add_argument("--send", action="store_true", help="also send a message from the mailbox to itself")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(options: dict[str, Any], stdout: OutputWrapper, style: Style) -> None:
    """Sign in, show the steps, in English as every command, and fail where one failed."""
    protocols = [name.upper() for name in options["protocol"] or PROTOCOLS]
    if options["send"] and "SMTP" not in protocols:
        raise CommandError("To --send, SMTP must be among the protocols: add --protocol smtp.")
    row = the_one_named(options["mailbox"], provider=options["provider"], user=options["user"])
    with override(None):
        found = sign_in_everywhere(row, protocols=protocols, send=options["send"])
        if options["json"]:
            text = json.dumps(as_data(found), indent=2, ensure_ascii=False)
        else:
            text = as_text(found, style, _marks_for(stdout))
    stdout.write(text)
    if found.failed:
        raise CommandError(f"{len(found.failed)} of {len(found.steps)} steps failed.")


def as_data(found: SignIns) -> dict[str, Any]:
    """Return the steps for programs."""
    return {
        "schema": SCHEMA,
        "mailbox": str(found.pk),
        "email": found.email,
        "provider": found.provider,
        "ok": not found.failed,
        "steps": [
            {
                "protocol": step.protocol,
                "step": step.stage,
                "outcome": step.outcome,
                "what": step.what,
                "reason": step.reason,
                "milliseconds": round(step.milliseconds, 1),
            }
            for step in found.steps
        ],
    }


def as_text(found: SignIns, style: Style, marks: dict[Outcome, str]) -> str:
    """Return a line for each step, and under each that failed what to do about it."""
    paint = {Outcome.OK: style.SUCCESS, Outcome.FAILED: style.ERROR, Outcome.SKIPPED: style.NOTICE}
    width = max(len(stage.words) for stage in Stage)
    lines = [f"{found.email} ({found.provider})"]
    for step in found.steps:
        head = f"{step.protocol:4}  {step.stage.words:{width}}"
        mark = paint[step.outcome](marks[step.outcome])
        lines.append(f"{mark} {head}  {_seen(step)}".rstrip())
        if step.outcome is Outcome.FAILED:
            lines.append(_INDENT + step.what)
    return "\n".join(lines)


def _seen(step: Step) -> str:
    if step.outcome is Outcome.SKIPPED:
        return f"skipped: {step.what}"
    took = f"({step.milliseconds:.0f} ms)"
    return f"failed {took}" if step.outcome is Outcome.FAILED else f"{step.what} {took}"


def _marks_for(stdout: OutputWrapper) -> dict[Outcome, str]:
    try:
        "".join(_MARKS.values()).encode(getattr(stdout, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return _PLAIN_MARKS
    return _MARKS
