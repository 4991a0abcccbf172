"""`manage.py mail_oauth refresh|reconcile|status|doctor|test_mailbox …`: upkeep by hand, or by cron without Celery.

The actions for keys are in `mail_oauth.management.keys`, those for moving in and out in `imports` and `leaving` there.
"""

from __future__ import annotations

import json
import signal
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder

from mail_oauth.connect.disconnect import retry_revocation
from mail_oauth.exceptions import MailboxError
from mail_oauth.management import additions, doctor, imports, keys, leaving, sign_ins
from mail_oauth.management.actions import add_action
from mail_oauth.management.forecasts import as_data, as_text
from mail_oauth.management.naming import named
from mail_oauth.management.progress import Progress, about_how_many
from mail_oauth.management.tables import figures, table
from mail_oauth.models import MailCredentials
from mail_oauth.notices.run import send_notices
from mail_oauth.operations.jobs import work
from mail_oauth.upkeep.forecast import forecast
from mail_oauth.upkeep.prune import prune_events
from mail_oauth.upkeep.reconcile import reconcile_cache
from mail_oauth.upkeep.status import GroupStatus, status_report
from mail_oauth.upkeep.survey import take_survey
from mail_oauth.upkeep.sweep import refresh_batch

_TOTALS = ("mailboxes", "idle", "overdue", "oldest_due", "soonest_expiry")


class Command(BaseCommand):
    """Upkeep of connected mailboxes. The exit code is 1 when something failed."""

    help = (
        "Refresh due mailboxes, compare the cache with the table, show how mailboxes are and what falls due, mail whoever "
        "is to be told, delete old events, find what is wrong, sign in to a mailbox, look after keys, move mailboxes in and out."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the subcommands."""
        actions = parser.add_subparsers(title="actions", required=True)
        refresh = add_action(
            actions, "refresh", self.refresh, "refresh what is due, or the mailboxes that are named"
        )
        refresh.add_argument("mailbox", nargs="*", help="an address or a UUID; refreshed even if not due")
        refresh.add_argument("--seconds", type=float, help="claim nothing more after this long")
        refresh.add_argument("--threads", type=int, help="how many at once (default: REFRESH_THREADS)")
        reconcile = add_action(actions, "reconcile", self.reconcile, "make the cache agree with the table")
        reconcile.add_argument("--limit", type=int, help="look at this many mailboxes only")
        reconcile.add_argument("--dry-run", action="store_true", help="only say what is wrong")
        status = add_action(actions, "status", self.status, "count mailboxes by provider and status")
        status.add_argument("--json", action="store_true", help="for programs")
        ahead = add_action(actions, "forecast", self.forecast, "count the refreshes of the next hours")
        ahead.add_argument("--hours", type=_hours, default=6.0, help="how far ahead, up to 48 (default: 6)")
        ahead.add_argument("--json", action="store_true", help="for programs")
        add_action(actions, "survey", self.survey, "count the mailboxes for the dashboard (cron, without beat)")
        doctor.add_arguments(
            add_action(actions, "doctor", self.doctor, "look at everything, and say what to do about it")
        )
        sign_ins.add_arguments(
            add_action(actions, "test_mailbox", self.test_mailbox, "sign in to a mailbox, step by step")
        )
        additions.add_arguments(
            add_action(actions, "add_mailbox", self.add_mailbox, "add mailboxes that the app itself is let into")
        )
        jobs = add_action(actions, "jobs", self.jobs, "go on with bulk actions that staff began in the admin")
        jobs.add_argument("--seconds", type=float, help="begin no mailbox after this long")
        notify = add_action(actions, "notify", self.notify, "mail whoever is to be told of a mailbox (NOTIFY)")
        notify.add_argument("--seconds", type=float, help="begin no mail after this long")
        prune = add_action(actions, "prune", self.prune, "delete old events and unfinished consents")
        prune.add_argument("--days", type=float, help="how long events are kept (default: EVENT_DAYS)")
        keys.add_actions(actions, self)
        imports.add_actions(actions, self)
        leaving.add_actions(actions, self)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the chosen action."""
        with _orderly_end():
            options["action"](options)

    def refresh(self, options: dict[str, Any]) -> None:
        """Refresh what is due until nothing is, or the mailboxes that are named."""
        if options["mailbox"]:
            self._refresh_named(options["mailbox"])
            return
        seconds = float("inf") if options["seconds"] is None else options["seconds"]
        report = refresh_batch(revoke=retry_revocation, seconds=seconds, threads=options["threads"])
        self._say(("mailboxes", "number"), figures(asdict(report)))
        if not report.ok:
            raise CommandError(f"{report.failed + report.broken} mailboxes could not be refreshed.")

    def reconcile(self, options: dict[str, Any]) -> None:
        """Compare and repair, and show how far that is."""
        limit, verbosity = options["limit"], options["verbosity"]
        rows = MailCredentials.objects.using(MailCredentials.objects.write_alias())
        total = about_how_many(rows) if verbosity else 0
        total = total if limit is None else min(total, limit)
        with Progress(self.stderr, total, "mailboxes", verbosity=verbosity) as progress:
            report = reconcile_cache(limit=limit, dry_run=options["dry_run"], progress=progress)
        numbers = asdict(report)
        causes = numbers.pop("drift")
        drift = {f"drift: {cause}": number for cause, number in causes.items()}
        self._say(("mailboxes", "number"), figures(drift | numbers))
        if report.cache_error:
            raise CommandError(f"The cache could not be reached ({report.cache_error}): nothing was compared.")

    def status(self, options: dict[str, Any]) -> None:
        """Show the numbers, for people or as JSON."""
        report = status_report()
        if options["json"]:
            totals = {name: getattr(report, name) for name in _TOTALS}
            self.stdout.write(json.dumps({**totals, **asdict(report)}, cls=DjangoJSONEncoder, indent=2))
            return
        heads = [field.name for field in fields(GroupStatus)]
        self._say(heads, (asdict(group).values() for group in report.groups))

    def forecast(self, options: dict[str, Any]) -> None:
        """Show what falls due when, for people or as JSON."""
        found = forecast(options["hours"])
        data = json.dumps(as_data(found), cls=DjangoJSONEncoder, indent=2) if options["json"] else as_text(found)
        self.stdout.write(data)

    def survey(self, options: dict[str, Any]) -> None:
        """Count, and keep it for the dashboard."""
        taken = take_survey()
        self.stdout.write(f"{taken.status.mailboxes} mailboxes counted in {taken.seconds:.1f} s")

    def doctor(self, options: dict[str, Any]) -> None:
        """Look at everything; the exit code says how bad it is."""
        doctor.run(options, self.stdout, self.style)

    def test_mailbox(self, options: dict[str, Any]) -> None:
        """Sign in by every protocol; the exit code says whether a step failed."""
        sign_ins.run(options, self.stdout, self.style)

    def add_mailbox(self, options: dict[str, Any]) -> None:
        """Add mailboxes without a user; the exit code says whether each is one."""
        additions.run(options, self.stdout)

    def jobs(self, options: dict[str, Any]) -> None:
        """Do what waits of bulk actions, as workers do."""
        report = work(seconds=float("inf") if options["seconds"] is None else options["seconds"])
        self._say(("mailboxes", "number"), figures(report))

    def notify(self, options: dict[str, Any]) -> None:
        """Send what there is to send."""
        seconds = float("inf") if options["seconds"] is None else options["seconds"]
        report = send_notices(seconds)
        if report.ended == "off":
            self.stdout.write(
                'Notices are off: MAIL_OAUTH["NOTIFY"] = "users", "operators" or "all" switches them on.'
            )
            return
        self._say(("users", "number"), figures(asdict(report)))
        if report.failed:
            raise CommandError(f"{report.failed} mails could not be sent; they are tried again.")

    def prune(self, options: dict[str, Any]) -> None:
        """Delete what is old."""
        self.stdout.write(f"{prune_events(options['days'])} events deleted")

    def _refresh_named(self, names: list[str]) -> None:
        results = [(row, _forced(row)) for name in names for row in named(name)]
        self._say(
            ("mailbox", "provider", "result"), ((row.email, row.provider, said) for row, (_, said) in results)
        )
        failures = sum(not worked for _, (worked, _) in results)
        if failures:
            raise CommandError(f"{failures} of {len(results)} mailboxes could not be refreshed.")

    def _say(self, head: Any, rows: Any) -> None:
        self.stdout.write(table([name.replace("_", " ") for name in head], (tuple(row) for row in rows)))


def _hours(text: str) -> float:
    hours = float(text)
    if not 0 < hours <= 48:
        raise ValueError("out of range")
    return hours


def _forced(row: MailCredentials) -> tuple[bool, str]:
    """Refresh now; tell whether it worked, and what to say of it."""
    try:
        token = row.refresh_now()
    except MailboxError as error:
        return False, str(error)
    return True, f"refreshed, expires {token.expires_at:%H:%M:%S} UTC"


@contextmanager
def _orderly_end() -> Iterator[None]:
    """Turn SIGTERM into an exit, by which a sweep finishes what runs and gives back the rest."""

    def leave(number: int, *_: object) -> NoReturn:
        raise SystemExit(128 + number)

    try:
        before = signal.signal(signal.SIGTERM, leave)
    except ValueError:  # not in the main thread, where nobody can set handlers
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
