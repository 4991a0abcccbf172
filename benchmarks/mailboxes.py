"""Mailboxes in bulk: rows with truly sealed tokens by COPY, and any number of rows around them by SQL."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID, uuid4

from django.contrib.auth.models import User
from django.db import connections
from django.utils import timezone

from benchmarks.endpoint import ACCESS_TOKEN_LENGTH, LIFETIME, REFRESH_TOKEN_LENGTH, token
from mail_oauth.models import MailCredentials
from mail_oauth.providers import provider_for
from mail_oauth.tokens import Secret

TENANTS = 1000
"""Over how many organisations the mailboxes are spread."""


def make_users(number: int, using: str = "default") -> int:
    """Make so many users; the id of the first, which the others follow."""
    table = User._meta.db_table
    with connections[using].cursor() as cursor:
        cursor.execute(f"SELECT COALESCE(MAX(id), 0) FROM {table}")
        before = int(cursor.fetchone()[0])
        cursor.execute(
            f"""
            INSERT INTO {table} (id, username, password, first_name, last_name, email,
                                 is_superuser, is_staff, is_active, date_joined)
            SELECT number, 'user' || number, '!', '', '', 'user' || number || '@example.com',
                   FALSE, FALSE, TRUE, NOW()
            FROM generate_series(%s, %s) AS number
            """,
            [before + 1, before + number],
        )
    return before + 1


def make_due(number: int, using: str = "default") -> list[UUID]:
    """Make so many connected mailboxes whose refresh is due, with sealed tokens that open; their keys."""
    first = make_users(number, using)
    pks = [uuid4() for _ in range(number)]
    rows = (_row(pk, first + index, number - index) for index, pk in enumerate(pks))
    _copy(rows, using)
    return pks


def make_resting(number: int, using: str = "default") -> None:
    """Make so many connected mailboxes that fall due within the next hour.

    Their tokens are of the right size, but all the same bytes, which open nowhere: who reads one fails loudly.
    """
    first = make_users(number, using)
    pattern = _row(uuid4(), first, 0)
    computed = {
        "id": "gen_random_uuid()",
        "user_id": "number",
        "subject": "'subject' || number",
        "email": "'user' || number || '@example.com'",
        "tenant": f"'tenant' || number %% {TENANTS}",
        "refresh_at": "NOW() + INTERVAL '10 minutes' + random() * INTERVAL '1 hour'",
    }
    constants = {column: value for column, value in pattern.items() if column not in computed}
    columns = [*computed, *constants]
    values = [*computed.values(), *["%s"] * len(constants)]
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {MailCredentials._meta.db_table} ({', '.join(columns)}) "
            f"SELECT {', '.join(values)} FROM generate_series(%s, %s) AS number",
            [*constants.values(), first, first + number - 1],
        )


def settle(using: str = "default") -> None:
    """Leave the table as a long life would: statistics known, everything written out."""
    with connections[using].cursor() as cursor:
        cursor.execute(f"VACUUM ANALYZE {MailCredentials._meta.db_table}")
        cursor.execute("CHECKPOINT")


def _row(pk: UUID, user: int, overdue: int) -> dict[str, Any]:
    """The columns of one mailbox, which has been due for `overdue` milliseconds, with its tokens sealed."""
    now = timezone.now()
    issued = (now - dt.timedelta(seconds=LIFETIME - 200)).replace(microsecond=0)
    scopes = " ".join(provider_for("microsoft").requested_scopes)
    mailbox = MailCredentials(
        id=pk,
        user_id=user,
        provider="microsoft",
        issuer="https://127.0.0.1/v2.0",
        subject=f"subject{user}",
        tenant=f"tenant{user % TENANTS}",
        email=f"user{user}@example.com",
        token_issued_at=issued,
        token_expiry=issued + dt.timedelta(seconds=LIFETIME),
        refresh_token_expires_at=now + dt.timedelta(days=90),
        grant_end_estimated=True,
        requested_scopes=scopes,
        granted_scopes=scopes,
        refresh_at=now - dt.timedelta(milliseconds=overdue),
        last_refreshed_at=issued,
        created_at=now,
    )
    mailbox.access_token = mailbox.sealed("access_token", Secret(token("access", user, ACCESS_TOKEN_LENGTH)))
    mailbox.refresh_token = mailbox.sealed("refresh_token", Secret(token("refresh", user, REFRESH_TOKEN_LENGTH)))
    connection = connections["default"]
    return {
        str(field.column): field.get_db_prep_save(getattr(mailbox, field.attname), connection)
        for field in MailCredentials._meta.concrete_fields
    }


def _copy(rows: Iterable[dict[str, Any]], using: str) -> None:
    columns = [str(field.column) for field in MailCredentials._meta.concrete_fields]
    statement = f"COPY {MailCredentials._meta.db_table} ({', '.join(columns)}) FROM STDIN"
    with connections[using].cursor() as cursor, cursor.copy(statement) as copy:
        for values in _values(rows, columns):
            copy.write_row(values)


def _values(rows: Iterable[dict[str, Any]], columns: list[str]) -> Iterator[list[Any]]:
    for row in rows:
        yield [row[column] for column in columns]
