"""Users in bulk, numbered from 1 on."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db import connections


def make_users(upto: int, using: str = "default") -> None:
    """Make users until there is one for each number from 1 to `upto`: it is their id."""
    table = User._meta.db_table
    with connections[using].cursor() as cursor:
        cursor.execute(f"SELECT COALESCE(MAX(id), 0) FROM {table}")
        cursor.execute(
            f"""
            INSERT INTO {table} (id, username, password, first_name, last_name, email,
                                 is_superuser, is_staff, is_active, date_joined)
            SELECT number, 'user' || number, '!', '', '', 'user' || number || '@example.com',
                   FALSE, FALSE, TRUE, NOW()
            FROM generate_series(%s, %s) AS number
            """,
            [int(cursor.fetchone()[0]) + 1, upto],
        )
