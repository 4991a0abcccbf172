"""The database that holds the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connections, router

from mail_oauth.checks.catalogue import Found, found

_SETTING_OF_COMMITS = {
    "postgresql": (
        "SELECT name, setting FROM pg_settings WHERE name IN ('synchronous_commit', 'fsync') AND setting = 'off'",
        "Write {name} = on into postgresql.conf; if a database or a role has it, ALTER … RESET {name}.",
    ),
    "mysql": (
        "SHOW GLOBAL VARIABLES WHERE Variable_name = 'innodb_flush_log_at_trx_commit' AND Value <> '1'",
        "Write {name} = 1 into the server's configuration.",
    ),
    "sqlite": (
        "SELECT 'PRAGMA synchronous', synchronous FROM pragma_synchronous WHERE synchronous < 2",
        'Leave {name} at FULL: take it out of "init_command".',
    ),
}
"""By vendor: what lists the settings under which a commit is reported before it is safe, and the line that mends it."""


def time_zones() -> Found:
    """Find a site whose moments carry no time zone."""
    if not settings.USE_TZ:
        yield found(
            "E029",
            "USE_TZ is off: this app's moments are aware, in UTC, and the database would refuse or shift them.",
        )


def routing() -> Found:
    """Find routers that tear apart what is saved together."""
    truth = _truth()
    if truth not in settings.DATABASES:
        yield found("E028", f"Routers send mailboxes to {truth!r}, which DATABASES does not have.")
        return
    ours = list(apps.get_app_config("mail_oauth").get_models())
    for model in (*ours, get_user_model()):
        alias = router.db_for_write(model)
        if alias != truth:
            yield found(
                "E028",
                f"Routers send {model._meta.label} to {alias!r} and mailboxes to {truth!r}: what belongs together "
                "cannot be saved together.",
                f'Let db_for_write return "{truth}" for {model._meta.label} as well.',
            )
        elif model in ours and not router.allow_migrate_model(truth, model):
            yield found(
                "E028",
                f"Routers send {model._meta.label} to {truth!r} and let no table of it be made there.",
                f'Let allow_migrate return True for "{truth}" and mail_oauth.',
            )


def atomic_requests() -> Found:
    """Find views in which no token can be refreshed: SQLite has one writer, and their transaction may be it."""
    options = _options(_truth())
    if options.get("ATOMIC_REQUESTS") and str(options.get("ENGINE", "")).endswith("sqlite3"):
        yield found(
            "W021",
            "ATOMIC_REQUESTS on SQLite: a view that needs a token refreshed gets TransactionHeld.",
            "Mark views that use tokens with @transaction.non_atomic_requests, or use PostgreSQL or MariaDB.",
        )


def durability(databases: Sequence[str]) -> Found:
    """Ask the database, if it is among `databases`, whether what it says is committed is so."""
    truth = _truth()
    if truth not in databases:
        return
    connection = connections[truth]
    yield from _one_writer(connection, truth)
    statement, remedy = _SETTING_OF_COMMITS.get(connection.vendor, ("", ""))
    if not statement:
        return
    with connection.cursor() as cursor:
        cursor.execute(statement)
        settings_of_commits = cursor.fetchall()
    for name, value in settings_of_commits:
        yield found(
            "W020",
            f"{name} is {value} in the database {truth!r}: a crash may lose commits that it has reported, and a rotated "
            "refresh token with them.",
            remedy.format(name=name),
        )


def _one_writer(connection: Any, alias: str) -> Found:
    """Find an SQLite on which writers do not queue."""
    if connection.vendor != "sqlite" or connection.is_in_memory_db():
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        [journal] = cursor.fetchone()
    mode = str(_options(alias).get("OPTIONS", {}).get("transaction_mode") or "DEFERRED").upper()
    if mode == "DEFERRED" or journal.lower() != "wal":
        yield found(
            "W019",
            f"The SQLite database {alias!r} has the journal {journal!r} and {mode} transactions: of two processes "
            "that write, such as the site and a worker, one is told that it is locked.",
        )


def _truth() -> str:
    return router.db_for_write(apps.get_model("mail_oauth", "MailCredentials"))


def _options(alias: str) -> dict[str, Any]:
    return settings.DATABASES.get(alias, {})
