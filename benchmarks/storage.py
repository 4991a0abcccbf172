"""What mailboxes and their refreshes cost PostgreSQL in bytes, for the base figures of docs/scaling.md.

    python -m benchmarks.storage --mailboxes 100000 --refreshes 20000

Fills the table with mailboxes of Microsoft's token sizes, refreshes some of them by a real sweep, and asks
PostgreSQL what that has written.
"""

from __future__ import annotations

import argparse
from typing import Any

import django

from benchmarks.servers import all_servers

TABLE = "mail_oauth_mailcredentials"
EVENTS = "mail_oauth_credentialevent"


def query(sql: str) -> tuple[Any, ...]:
    """Return the one row of an answer."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(sql)
        row: tuple[Any, ...] = cursor.fetchone()
    return row


def sizes(rows: int) -> dict[str, float]:
    """Return bytes per mailbox: the row itself, its tokens, which lie beside it, and its entries in the indexes."""
    heap, tokens, indexes = query(
        f"SELECT pg_relation_size('{TABLE}'), pg_table_size('{TABLE}') - pg_relation_size('{TABLE}'), "
        f"pg_indexes_size('{TABLE}')"
    )
    return {"row": heap / rows, "tokens": tokens / rows, "indexes": indexes / rows}


def written() -> dict[str, float]:
    """Return what PostgreSQL has counted so far."""
    records, images, size = query("SELECT wal_records, wal_fpi, wal_bytes FROM pg_stat_wal")
    updated, hot = query(f"SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = '{TABLE}'")
    events = query(f"SELECT pg_total_relation_size('{EVENTS}')")[0]
    return {
        "records": records,
        "images": images,
        "wal": float(size),
        "updated": updated,
        "hot": hot,
        "events": events,
    }


def main() -> None:
    """Fill, refresh, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.storage", description=__doc__.splitlines()[0])
    parser.add_argument("--mailboxes", type=int, default=100_000)
    parser.add_argument("--refreshes", type=int, default=20_000)
    options = parser.parse_args()
    with all_servers() as (_, _, endpoint):
        django.setup()
        from django.core.management import call_command

        from benchmarks.mailboxes import make_due, make_resting, settle
        from benchmarks.sweeping import sweep

        call_command("migrate", verbosity=0)
        make_resting(options.mailboxes - options.refreshes)
        make_due(options.refreshes)
        settle()
        for name, size in sizes(options.mailboxes).items():
            print(f"{name:10} {size:8,.0f} bytes per mailbox")
        before = written()
        swept = sweep(endpoint, workers=1, threads=32, seconds=600)
        query("SELECT pg_stat_force_next_flush(), pg_sleep(1)")
        after = {name: number - before[name] for name, number in written().items()}
        print(swept)
        for name, number in after.items():
            print(f"{name:10} {number / swept.refreshed:10,.2f} per refresh")


if __name__ == "__main__":
    main()
