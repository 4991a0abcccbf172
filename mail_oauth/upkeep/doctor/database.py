"""The database that holds the truth: is it there, is it whole, may it be written, what time is it there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connections, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Max
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.connection import ConnectionDoesNotExist

from mail_oauth.managers.clock import DatabaseNow
from mail_oauth.managers.counts import slot_of
from mail_oauth.managers.vocabulary import CountedOutcome
from mail_oauth.models import MailCredentials, RefreshCount
from mail_oauth.upkeep.doctor.findings import Outcome, doubtful, fine, wrong
from mail_oauth.upkeep.doctor.rounds import Probe, Round, foregone

SKEW_NOTED, SKEW_REFUSED = 5.0, 60.0
"""How many seconds this host's clock may differ from the database's before it is said, and before it is an error.

Leases and pauses end by the database's clock, tokens by the hosts'; `MIN_VALIDITY` is a minute.
"""

_EPOCH = slot_of(datetime(2000, 1, 1, tzinfo=UTC))


def _reachable(alias: str) -> Iterator[Outcome]:
    try:
        connection = connections[alias]
        connection.ensure_connection()
        version = ".".join(map(str, connection.get_database_version()))
    except (Error, ConnectionDoesNotExist, ImproperlyConfigured) as error:
        yield wrong(
            f"Cannot be reached ({type(error).__name__}).",
            f'Check DATABASES["{alias}"] and that the server runs: `manage.py dbshell --database {alias}` says more.',
        )
        return
    yield fine(f"{connection.display_name} {version} answers.")


def _migrations(alias: str) -> Iterator[Outcome]:
    executor = MigrationExecutor(connections[alias])
    loader = executor.loader
    leaves = [node for node in loader.graph.leaf_nodes() if node[0] == "mail_oauth"]
    missing = [str(migration) for migration, _ in executor.migration_plan(leaves)]
    strange = sorted(
        name
        for app, name in loader.applied_migrations
        if app == "mail_oauth" and (app, name) not in loader.disk_migrations
    )
    if missing:
        yield wrong(
            f"{len(missing)} migrations are not applied: {', '.join(missing)}.", "Run `manage.py migrate`."
        )
    elif strange:
        yield doubtful(
            f"The tables are those of a later release ({strange[-1]}).",
            "Install that release, or migrate back with it.",
        )
    else:
        yield fine(f"All migrations are applied, up to {leaves[0][1]}.")


def _writable(alias: str) -> Iterator[Outcome]:
    """Write a row, and take it back: a refresh must not begin where its result could not be saved."""
    try:
        with transaction.atomic(using=alias):
            RefreshCount.objects.using(alias).create(
                begins_at=_EPOCH, provider="doctor", outcome=CountedOutcome.UNKNOWN
            )
            transaction.set_rollback(True, using=alias)
    except Error as error:
        yield wrong(
            f"Cannot be written ({type(error).__name__}).",
            "Point DATABASES at the primary, with a role that may write; see that its disk is not full.",
        )
        return
    yield fine("A row was written, and taken back.")


def _clock(alias: str) -> Iterator[Outcome]:
    before = timezone.now()
    there = _now_there(alias)
    skew = (there - before - (timezone.now() - before) / 2).total_seconds()
    told = f"This host's clock is {abs(skew):.1f} s {'behind' if skew > 0 else 'ahead of'} the database's."
    if abs(skew) <= SKEW_NOTED:
        yield fine("This host and the database agree on the time.")
    elif abs(skew) <= SKEW_REFUSED:
        yield doubtful(told, "Let both keep their time by NTP.")
    else:
        yield wrong(
            told,
            "Let both keep their time by NTP: tokens are taken for valid when they are not, or replaced too early.",
        )


def _now_there(alias: str) -> Any:
    nothing = RefreshCount.objects.using(alias).filter(pk=0)
    return nothing.aggregate(now=Coalesce(Max("begins_at"), DatabaseNow()))["now"]


def database_round() -> Round:
    """Return the round of the database that mailboxes are written to."""
    try:
        alias = MailCredentials.objects.write_alias()
    except Exception as error:  # noqa: BLE001  # a router is the site's own code
        told = f"Routers cannot say where mailboxes are ({type(error).__name__})."
        return foregone("routers", REACHABLE, wrong(told, "Check DATABASE_ROUTERS."))
    return Round(alias, PROBES, alias)


REACHABLE = Probe(id="database.reachable", what="whether the database answers, and which it is", look=_reachable)
PROBES = (
    REACHABLE,
    Probe(
        id="database.migrations",
        what="whether its tables are those of this release",
        look=_migrations,
        needs="database.reachable",
    ),
    Probe(
        id="database.writable",
        what="whether a row can be written; it is taken back",
        look=_writable,
        needs="database.migrations",
    ),
    Probe(
        id="database.clock",
        what=f"the clocks of host and database: more than {SKEW_NOTED:.0f} s apart",
        look=_clock,
        needs="database.migrations",
    ),
)
