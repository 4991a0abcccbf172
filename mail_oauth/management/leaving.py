"""`manage.py mail_oauth export|erase`: moving out, and being forgotten."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from mail_oauth.exceptions import SealError
from mail_oauth.management.actions import add_action
from mail_oauth.management.files import created
from mail_oauth.management.progress import Progress, about_how_many
from mail_oauth.managers.vocabulary import Access
from mail_oauth.models import MailCredentials
from mail_oauth.moving.entries import SourceError
from mail_oauth.moving.erasing import Erased, ErasureReport, erase
from mail_oauth.moving.exporting import export
from mail_oauth.moving.users import column_of_users
from mail_oauth.providers import Revocation

MOST_NAMED = 20
"""So many mailboxes are named whose tokens do not open; all are counted."""

_BY_THE_USER = "the user removes this site's access in their account"
_FATES = {
    None: f"had been disconnected; nobody here knows what became of its grant: {_BY_THE_USER}",
    Revocation.REVOKED: "revoked",
    Revocation.UNSUPPORTED: f"its provider cannot be told: {_BY_THE_USER}",
    Revocation.KEPT: "its grant stays: another user's mailbox lives on it",
    Revocation.FAILED: f"its provider did not confirm: {_BY_THE_USER}",
    Revocation.NOTHING: "there was nothing to revoke: the app itself was let in",
}


def add_actions(actions: Any, command: BaseCommand) -> None:
    """Declare the subcommands to `command`."""
    out = add_action(actions, "export", partial(_export, command), "write mailboxes, sealed, as JSON Lines")
    out.add_argument("--output", type=Path, help="a new file, of the mode 0600 (default: standard output)")
    out.add_argument(
        "--readable",
        action="store_true",
        help="with their tokens in the open; needs --output, and an asker with a right to it",
    )
    out.add_argument("--user", default="", metavar="NAME|PK", help="of this user alone")
    out.add_argument("--provider", default="", metavar="ALIAS", help="of this provider alone")
    out.add_argument("--user-field", default="pk", help="the users' column by which lines name them")
    gone: ArgumentParser = add_action(
        actions,
        "erase",
        partial(_erase, command),
        "revoke and delete all mailboxes of a user, and what names them",
    )
    gone.add_argument("--user", required=True, metavar="NAME|PK", help="whose")
    gone.add_argument("--no-input", action="store_true", help="do not ask")


def _export(command: BaseCommand, options: dict[str, Any]) -> None:
    if options["readable"] and options["output"] is None:
        raise CommandError("Tokens in the open go to no terminal: name a new file by --output.")
    try:
        column_of_users(options["user_field"])
    except SourceError as error:
        raise CommandError(str(error)) from None
    rows = MailCredentials.objects.using(MailCredentials.objects.write_alias()).present()
    if options["user"]:
        rows = rows.filter(user=the_user(options["user"]))
    if options["provider"]:
        rows = rows.filter(provider=options["provider"])
    total = about_how_many(rows) if options["verbosity"] else 0
    left_out = rows.exclude(access__in=(Access.USER, Access.APP)).count()
    unreadable: list[str] = []
    with (
        _written_to(command, options["output"]) as written,
        Progress(command.stderr, total, "mailboxes", verbosity=options["verbosity"]) as progress,
    ):
        done = 0
        for page in export(rows, user_field=options["user_field"], readable=options["readable"]):
            for row, line in page:
                if isinstance(line, SealError):
                    unreadable.append(f"  {row.pk}: {line.brief}")
                else:
                    written.write(line + "\n")
            done += len(page)
            progress(done)
    command.stderr.write(f"{done - len(unreadable)} mailboxes exported", style_func=str)
    if left_out:
        words = f"{left_out} left out that the app itself is let into: they hold no grant, and add_mailbox adds them elsewhere"
        command.stderr.write(words, style_func=str)
    if unreadable:
        named = "\n".join(unreadable[:MOST_NAMED])
        raise CommandError(f"The tokens of {len(unreadable)} mailboxes do not open, see key_status:\n{named}")


@contextmanager
def _written_to(command: BaseCommand, path: Path | None) -> Iterator[TextIO | Any]:
    if path is None:
        yield command.stdout
        return
    with created(path) as opened:
        yield opened


def _erase(command: BaseCommand, options: dict[str, Any]) -> None:
    user = the_user(options["user"])
    if not options["no_input"]:
        count = MailCredentials.objects.for_user(user).count()
        answer = input(f"Revoke and delete {count} mailboxes of {user.get_username()} for good? Type yes: ")
        if answer.strip().lower() != "yes":
            raise CommandError("Nothing was erased.")
    report = erase(user, tell=lambda fate: command.stdout.write(_line(fate)))  # told before it is deleted
    command.stdout.write(_as_text(report))
    if not report.is_whole:
        raise CommandError("A provider did not confirm that a grant has ended: see above who can end it.")


def _line(fate: Erased) -> str:
    return f"{fate.email}  {fate.provider}  {_FATES[fate.revocation]}"


def _as_text(report: ErasureReport) -> str:
    count = len(report.mailboxes)
    erased = (
        f"Events made anonymous: {report.events}; acts on others' mailboxes: {report.acts}. "
        f"Removed: unfinished consents: {report.consents}; names in the admin's log: {report.admin_entries}."
    )
    lines = [
        f"Mailboxes deleted: {count}. No import brings them back." if count else "The user had no mailbox.",
        erased,
        "The user's own account, backups and log files are yours to look after.",
    ]
    return "\n".join(lines)


def the_user(name: str) -> Any:
    """Return the user of that name, or with that primary key. Raises `CommandError` for none, and for two."""
    model = get_user_model()
    found = {user.pk: user for user in (_by_name(model, name), _by_key(model, name)) if user is not None}
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise CommandError(f"{name!r} is the name of one user and the primary key of another: nothing was done.")
    raise CommandError(f"There is no user {name!r}: give their name or their primary key.")


def _by_name(model: Any, name: str) -> Any:
    users = model._base_manager.filter(**{model.USERNAME_FIELD: name})
    return next((user for user in users if user.get_username() == name), None)


def _by_key(model: Any, name: str) -> Any:
    field = model._meta.pk
    try:
        value = field.to_python(name)
        field.run_validators(value)
    except ValidationError:
        return None
    return model._base_manager.filter(pk=value).first()
