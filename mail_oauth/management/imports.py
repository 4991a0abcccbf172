"""`manage.py mail_oauth import SOURCE`: grants that were connected elsewhere become mailboxes here."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError

from mail_oauth.exceptions import ConfigurationError
from mail_oauth.management.actions import add_action
from mail_oauth.management.files import created
from mail_oauth.management.progress import Progress
from mail_oauth.management.tables import table
from mail_oauth.moving.aliases import Aliases
from mail_oauth.moving.entries import Source, SourceError
from mail_oauth.moving.importing import Import, Wishes
from mail_oauth.moving.outcomes import Outcome, Proof, Result
from mail_oauth.moving.proving import Proving
from mail_oauth.moving.sources.allauth_tokens import AllauthTokens
from mail_oauth.moving.sources.json_lines import JSONLines
from mail_oauth.moving.sources.o365 import O365Files, O365Table
from mail_oauth.moving.sources.redis_layout import PREFIX, RedisLayout
from mail_oauth.moving.sources.social_auth import SocialAuth
from mail_oauth.tokens import Secret

REDIS_URL = "MAIL_OAUTH_IMPORT_REDIS_URL"
"""The environment's variable for a URL with a password, which a command line would show to everybody on the host."""

_INTERRUPTED = 130
"""What a shell says of a program that Ctrl-C has ended."""

MOST_NAMED = 20
"""So many entries that need a look are named; the report has all."""


def add_actions(actions: Any, command: BaseCommand) -> None:
    """Declare the subcommand to `command`, and its sources."""
    parser = add_action(actions, "import", partial(run, command), "take over grants that were connected elsewhere")
    sources = parser.add_subparsers(
        title="sources", required=True, dest="source", help="where they are: each has options of its own"
    )
    layout = _source(sources, "redis", _redis, "JSON under email:credentials:{userId}:{accountId}")
    layout.add_argument(
        "--redis-url", default="", help=f"any node of a cluster (default: the environment's {REDIS_URL})"
    )
    layout.add_argument("--prefix", default=PREFIX, help=f"what keys begin with (default: {PREFIX})")
    _source(sources, "allauth", lambda _: AllauthTokens(), "SocialToken of django-allauth", users=False)
    _source(
        sources, "social-auth", lambda _: SocialAuth(), "UserSocialAuth of social-auth-app-django", users=False
    )
    o365 = _source(sources, "o365", _o365, "token files of O365, or the table of its Django backend")
    where = o365.add_mutually_exclusive_group(required=True)
    where.add_argument("--path", type=Path, help="a token file, or a folder of them")
    where.add_argument("--model", metavar="APP.MODEL", help="the model that DjangoTokenBackend was given")
    o365.add_argument("--user", default="", metavar="NAME", help="whose they all are")
    o365.add_argument(
        "--user-column", default="", metavar="COLUMN", help="the model's column that says whose it is"
    )
    lines = _source(sources, "jsonl", _lines, "JSON Lines, of whatever origin or by `export`")
    lines.add_argument("file", type=Path, help="a file, or - for standard input")


def _source(sources: Any, name: str, make: Any, what: str, *, users: bool = True) -> ArgumentParser:
    parser: ArgumentParser = sources.add_parser(name, help=what)
    parser.set_defaults(make_source=make, user_field="pk")
    parser.add_argument("--dry-run", action="store_true", help="only say what would come of it")
    parser.add_argument("--verify", action="store_true", help="refresh each imported grant once")
    parser.add_argument("--threads", type=int, help="how many are verified at once (default: REFRESH_THREADS)")
    parser.add_argument(
        "--provider",
        action="append",
        default=[],
        metavar="[NAME=]ALIAS",
        help="the provider that NAME means, or that is meant where none is named; may be given several times",
    )
    parser.add_argument("--any-scopes", action="store_true", help="import grants whatever scopes they name")
    parser.add_argument(
        "--address-of-user", action="store_true", help="where no address is named, take the user's own"
    )
    parser.add_argument("--report", type=Path, help="write a line of JSON for each entry to this new file")
    if users:
        parser.add_argument("--user-field", default="pk", help="the users' column by which it names them")
    return parser


def run(command: BaseCommand, options: dict[str, Any]) -> None:
    """Import, show the numbers, and fail where somebody has to look at something.

    However it ends, the numbers are shown of what was saved so far: whoever begins again passes that over.
    """
    seen = Seen()
    try:
        _run(command, options, seen)
    except BaseException as error:
        if seen.total:
            command.stdout.write(f"Ended on the way. So far:\n{seen.as_text(dry_run=options['dry_run'])}")
        if isinstance(error, KeyboardInterrupt):
            words = "Interrupted: begin again, what is here is passed over."
            raise CommandError(words, returncode=_INTERRUPTED) from None
        if isinstance(error, (ConfigurationError, SourceError)):
            raise CommandError(str(error)) from None
        raise
    command.stdout.write(seen.as_text(dry_run=options["dry_run"]))
    if seen.amiss:
        raise CommandError(f"{seen.amiss} of {seen.total} entries need a look.")


def _run(command: BaseCommand, options: dict[str, Any], seen: Seen) -> None:
    task, verbosity = _task(options), options["verbosity"]
    proving = Proving(options["threads"]) if options["verify"] and not options["dry_run"] else None
    total = task.source.about() if verbosity else 0
    with ExitStack() as stack:
        report = stack.enter_context(created(options["report"])) if options["report"] else None
        progress = stack.enter_context(Progress(command.stderr, total, "entries", verbosity=verbosity))
        for page in task.run():
            results = page
            try:
                if proving is not None:
                    results = proving.prove(page)
            finally:  # they are saved, also where somebody ends the run while they are proven
                _note(results, seen, report)
            progress(seen.total)


def _task(options: dict[str, Any]) -> Import:
    wishes = ("user_field", "address_of_user", "any_scopes", "dry_run")
    aliases = Aliases.of(options["provider"])
    source: Source = options["make_source"](options)
    return Import(source, Wishes(aliases=aliases, **{name: options[name] for name in wishes}))


def _note(results: Iterable[Result], seen: Seen, report: TextIO | None) -> None:
    for result in results:
        seen.note(result)
        if report is not None:
            report.write(json.dumps(result.as_data(), ensure_ascii=False) + "\n")
    if report is not None:
        report.flush()  # whatever ends this process now


class Seen:
    """What has come of an import so far, in constant memory."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.outcomes: Counter[Outcome] = Counter()
        self.proofs: Counter[Proof] = Counter()
        self.amiss = 0
        self._named: list[Result] = []

    def note(self, result: Result) -> None:
        """Count an entry, and keep the first of those that need a look."""
        self.outcomes[result.outcome] += 1
        self.proofs[result.proof] += 1
        if not result.is_well:
            self.amiss += 1
            if len(self._named) < MOST_NAMED:
                self._named.append(result)

    @property
    def total(self) -> int:
        """How many entries there were."""
        return self.outcomes.total()

    def as_text(self, *, dry_run: bool) -> str:
        """Return the numbers, and the entries that need a look."""
        rows: list[tuple[str, int]] = [
            (each.value, self.outcomes[each]) for each in Outcome if self.outcomes[each]
        ]
        rows += [(f"verified: {each.value}", self.proofs[each]) for each in Proof if each and self.proofs[each]]
        head = "would be" if dry_run else "outcome"
        lines = [table([head, "entries"], rows)] if rows else ["There is nothing to import."]
        lines += [f"  {result.where}: {_words(result)}" for result in self._named]
        if self.amiss > len(self._named):
            lines.append(f"  … and {self.amiss - len(self._named)} more: --report FILE names them all.")
        return "\n".join(lines)


def _words(result: Result) -> str:
    parts: Iterable[str] = (
        [result.outcome.value, result.reason]
        if not result.outcome.is_well
        else [f"verified: {result.proof.value}", result.proof_reason]
    )
    return ", ".join(part for part in parts if part)


def _redis(options: dict[str, Any]) -> Source:
    url = options["redis_url"] or os.environ.get(REDIS_URL, "")
    if not url:
        raise CommandError(f"Say where Redis is: --redis-url, or {REDIS_URL} in the environment.")
    return RedisLayout(Secret(url), options["prefix"])


def _o365(options: dict[str, Any]) -> Source:
    if options["path"] is not None:
        return O365Files(options["path"], options["user"])
    return O365Table(options["model"], options["user"], options["user_column"])


def _lines(options: dict[str, Any]) -> Source:
    return JSONLines(options["file"], sys.stdin.buffer if str(options["file"]) == "-" else None)
