"""The admin's pages over a large table: what a person waits for them, and how many queries they cost.

    python -m benchmarks.pages --mailboxes 1000000

makes a PostgreSQL of its own with so many mailboxes, and prints what `make bench` writes into its report.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

import django

from benchmarks.timing import Measured

LIST, DASHBOARD = "/admin/mail_oauth/mailcredentials/", "/admin/mail_oauth/dashboard/"
TABLE = "mail_oauth_mailcredentials"
ROOT_ID = 2_000_000_000
"""Above all users of mailboxes, whose ids are numbered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """One page: what it is, what it took in each round, and its queries (session and person among them)."""

    name: str
    measured: Measured
    queries: int


def measure_pages(*, rounds: int) -> list[Page]:
    """Give some of the mailboxes fates of all kinds, and look at each page so many times, in turns."""
    from django.contrib.auth.models import User
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from mail_oauth.upkeep.survey import take_survey

    make_fates()
    take_survey()
    person = User.objects.filter(username="bench-root").first()
    client = Client()
    client.force_login(person or User.objects.create_superuser("bench-root", id=ROOT_ID))
    pages, queries = dict(_pages()), dict[str, int]()
    for name, address in pages.items():  # once to warm
        with CaptureQueriesContext(connection) as captured:
            reply = client.get(address)
        assert reply.status_code == 200, (name, reply.status_code)
        queries[name] = len(captured)
    walls: dict[str, list[float]] = {name: [] for name in pages}
    for _ in range(rounds):
        for name, address in pages.items():
            begun = time.perf_counter()
            client.get(address)
            walls[name].append(time.perf_counter() - begun)
    return [
        Page(name=name, measured=Measured(tuple(taken)), queries=queries[name]) for name, taken in walls.items()
    ]


def _pages() -> Iterator[tuple[str, str]]:
    """Name pages, with their addresses."""
    from mail_oauth.models import MailCredentials

    row = MailCredentials.objects.order_by("email").select_related("user").only("pk", "email", "user__username")
    some = row[1000]

    def listed(**query: str) -> str:
        return f"{LIST}?{urlencode(query)}"

    yield "dashboard", DASHBOARD
    yield "list", LIST
    yield "list, its 100th page", listed(p="100")
    yield "list, of one provider", listed(provider="microsoft")
    yield "list, connected", listed(status__exact="connected")
    yield "list, must be connected again", listed(status__exact="needs_reauth")
    yield "list, unreadable (none)", listed(status__exact="unreadable")
    yield "list, last refresh failed", listed(failing="yes")
    yield "list, refresh overdue", listed(time="late")
    yield "list, grant ends soon", listed(time="ending")
    yield "list, OAuth switched off", listed(use_oauth__exact="0")
    yield "list, a refresh policy of its own", listed(policy="on_demand")
    yield "search by address", listed(q=some.email)
    yield "search by user name", listed(q=str(some.user))
    yield "search by UUID", listed(q=str(some.pk))
    yield "search by an address that is nobody's", listed(q="nobody@nowhere.example")
    yield "search by a part of an address", listed(q="ser77777")
    yield "one mailbox", f"{LIST}{some.pk}/change/"


def make_fates() -> None:
    """Have one mailbox in twenty not simply connected, as after a life of some years, and a week of counts."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET jit = off")
        cursor.execute(
            f"""
            UPDATE {TABLE} SET
                status = CASE WHEN fate < 20 THEN 'disconnected' WHEN fate < 35 THEN 'needs_reauth'
                    WHEN fate < 38 THEN 'needs_admin' WHEN fate < 39 THEN 'needs_attention' ELSE status END,
                refresh_at = CASE WHEN fate < 35 THEN NULL WHEN fate = 40 THEN NOW() - INTERVAL '1 hour'
                    ELSE refresh_at END,
                refresh_failures = CASE WHEN fate = 41 THEN 2 ELSE 0 END,
                last_refresh_error = CASE WHEN fate = 41 THEN 'http_503' ELSE '' END,
                use_oauth = fate <> 42,
                refresh_policy = CASE WHEN fate = 43 THEN 'on_demand' ELSE '' END,
                refresh_token_expires_at = CASE WHEN fate = 44 THEN NOW() + INTERVAL '3 days'
                    ELSE refresh_token_expires_at END
            FROM (SELECT id AS key, (random() * 1000)::int AS fate FROM {TABLE}) AS fates
            WHERE key = id AND fate < 45
            """
        )
        cursor.execute(
            """
            INSERT INTO mail_oauth_refreshcount (begins_at, provider, outcome, number)
            SELECT TO_TIMESTAMP(FLOOR(EXTRACT(EPOCH FROM NOW()) / 300) * 300) - slot * INTERVAL '5 minutes',
                   provider, outcome, 1 + (random() * 20000)::int
            FROM generate_series(0, 7 * 288) AS slot, unnest(ARRAY['microsoft', 'google', 'yahoo']) AS provider,
                 unnest(ARRAY['granted', 'retry', 'reauth', 'admin']) AS outcome
            ON CONFLICT DO NOTHING
            """
        )
        cursor.execute(f"VACUUM ANALYZE {TABLE}")
        cursor.execute("VACUUM ANALYZE mail_oauth_refreshcount")


def main() -> None:
    """Fill a database, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=__doc__.splitlines()[0])
    parser.add_argument("--mailboxes", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    from benchmarks.servers import all_servers

    with all_servers():
        django.setup()
        from django.core.management import call_command

        from benchmarks.findings import judge_pages
        from benchmarks.mailboxes import make_resting
        from benchmarks.report import section
        from benchmarks.results import Results

        call_command("migrate", verbosity=0)
        make_resting(options.mailboxes)
        results = Results()
        judge_pages(results, measure_pages(rounds=options.rounds), options.mailboxes)
        for goal in results.goals:
            print(f"{goal.measure}: {goal.seen} (goal {goal.goal}, {'met' if goal.met else 'NOT met'})")
        print(*map(section, results.tables))


if __name__ == "__main__":
    main()
