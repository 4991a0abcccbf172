"""What columns really hold, and what somebody else writes into them."""

from __future__ import annotations

from typing import Any

from django.db import connection, models

from mail_oauth.encryption import keyring

REGIONS = {
    "the prefix": 1,
    "the colon after it": 3,
    "the key's fingerprint": 10,
    "the colon after that": 20,
    "Fernet's version": 21,
    "its time": 27,
    "its random vector": 37,
    "its ciphertext": 80,
    "its signature": -10,
}
"""A character of each part of a sealed value."""


def raw(row: models.Model, column: str) -> bytes:
    """The bytes of a column."""
    with connection.cursor() as cursor:
        quote, meta = connection.ops.quote_name, row._meta
        pk = meta.pk.get_db_prep_value(row.pk, connection)
        cursor.execute(
            f"SELECT {quote(column)} FROM {quote(meta.db_table)} WHERE {quote(meta.pk.column)} = %s", [pk]
        )
        return bytes(cursor.fetchone()[0])


def overwrite(row: models.Model, column: str, value: bytes) -> None:
    """Write bytes past the app."""
    with connection.cursor() as cursor:
        quote, meta = connection.ops.quote_name, row._meta
        pk = meta.pk.get_db_prep_value(row.pk, connection)
        cursor.execute(
            f"UPDATE {quote(meta.db_table)} SET {quote(column)} = %s WHERE {quote(meta.pk.column)} = %s",
            [value, pk],
        )


def plain_fernet(secret: str, key: Any = None) -> bytes:
    """What the plain field of django-fernet-fields writes for a secret."""
    return bytes((key or keyring().keys[0]).fernet.encrypt(secret.encode()))


def flipped(blob: bytes, at: int) -> bytes:
    """The same with another letter at one place, so that it stays text."""
    altered = bytearray(blob)
    altered[at] = ord("A") if altered[at] != ord("A") else ord("B")
    return bytes(altered)


def relabelled(blob: bytes, fingerprint: str) -> bytes:
    """The same under the name of another key."""
    prefix, _, token = blob.split(b":", 2)
    return b":".join((prefix, fingerprint.encode(), token))


def unlabelled(blob: bytes) -> bytes:
    """The Fernet token alone, which the site's key opens."""
    return blob.split(b":", 2)[2]
