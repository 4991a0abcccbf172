"""What the peers' tables hold: many accounts, of which some are read."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator

from django.contrib.auth.models import User
from django.db import connection, models
from django.utils import timezone

from benchmarks.endpoint import ACCESS_TOKEN_LENGTH, LIFETIME, REFRESH_TOKEN_LENGTH, token
from benchmarks.users import make_users

SAMPLED = 200
"""How many accounts are read in turn."""

EXPIRES_IN = 24 * LIFETIME
"""The lifetime of a peer's token, in seconds: none expires during a run."""


def sample(accounts: int) -> list[int]:
    """Numbers of accounts, from 1 on, spread evenly over all."""
    return (
        [1 + index * accounts // SAMPLED for index in range(SAMPLED)]
        if accounts > SAMPLED
        else list(range(1, accounts + 1))
    )


def sampled_users(accounts: int) -> Iterator[User]:
    """The users who are read, again and again: loaded already, as `request.user` is."""
    users = list(User.objects.filter(pk__in=sample(accounts)).order_by("pk"))
    return itertools.cycle(users)


def access_token(number: int) -> str:
    """An account's access token."""
    return token("access", number, ACCESS_TOKEN_LENGTH)


def refresh_token(number: int) -> str:
    """An account's refresh token."""
    return token("refresh", number, REFRESH_TOKEN_LENGTH)


def expiry() -> dt.datetime:
    """When a peer's token expires."""
    return timezone.now() + dt.timedelta(seconds=EXPIRES_IN)


def fill(model: type[models.Model], accounts: int, columns: dict[str, str]) -> None:
    """Bring a table to one row for each of `accounts` users, by one INSERT.

    `columns` has an SQL expression for each column, in which `number` is the user's id. Tokens in it may be short:
    a small table is in the peer's favour, and the rows that are read get tokens of full length.
    """
    make_users(accounts)
    table = model._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {table}")
        held = int(cursor.fetchone()[0])
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(columns.values())} "
            f"FROM generate_series(%s, %s) AS number",
            [held + 1, accounts],
        )
        cursor.execute(f"ANALYZE {table}")
