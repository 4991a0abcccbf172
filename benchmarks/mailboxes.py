"""Mailboxes in bulk: rows with truly sealed tokens by COPY, and any number of rows around them by SQL."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from itertools import islice
from typing import Any
from uuid import UUID, uuid4

import redis
from django.core.cache import caches
from django.db import connections
from django.utils import timezone

from benchmarks.endpoint import ACCESS_TOKEN_LENGTH, LIFETIME, REFRESH_TOKEN_LENGTH, token
from benchmarks.users import make_users
from mail_oauth.cache import MAIL, Header, cache_key, place_of, token_cache
from mail_oauth.encryption import seal
from mail_oauth.models import MailCredentials
from mail_oauth.providers import provider_for
from mail_oauth.tokens import Secret

TENANTS = 1000
"""Over how many organisations the mailboxes are spread."""

REST_SECONDS = 5 * LIFETIME
"""How long the tokens of mailboxes live that are not to fall due during a run."""

TABLE = MailCredentials._meta.db_table


def make_due(number: int, using: str = "default") -> None:
    """Make so many connected mailboxes whose refresh is due, with sealed tokens that open."""
    now = timezone.now()
    issued = (now - dt.timedelta(seconds=LIFETIME - 200)).replace(microsecond=0)
    _copy([uuid4() for _ in range(number)], _columns(issued, LIFETIME, now), using)


def top_up(number: int) -> None:
    """Make due mailboxes until there are so many."""
    lacking = number - MailCredentials.objects.due().count()
    if lacking > 0:
        make_due(lacking)


def make_fresh(number: int) -> list[UUID]:
    """Make so many mailboxes with sealed tokens and a copy of each in the cache, all of which open; their keys."""
    issued, pks = timezone.now().replace(microsecond=0), [uuid4() for _ in range(number)]
    _copy(pks, _columns(issued, REST_SECONDS, issued + dt.timedelta(seconds=REST_SECONDS - LIFETIME)), "default")
    for row in MailCredentials.objects.filter(pk__in=pks):
        access_token = row.open_access_token()
        assert access_token is not None
        token_cache.put(row.pk, access_token)
    return pks


def make_resting(number: int, using: str = "default") -> None:
    """Make so many connected mailboxes that do not fall due during a run.

    Their tokens are of the right size, but all the same bytes, which open nowhere: who reads one fails loudly.
    """
    first = _next_user(number, using)
    issued = timezone.now().replace(microsecond=0)
    pattern = _columns(issued, REST_SECONDS, issued)
    computed = {
        "id": "gen_random_uuid()",
        "user_id": "number",
        "subject": "'subject' || number",
        "email": "'user' || number || '@example.com'",
        "tenant": f"'tenant' || number %% {TENANTS}",
        "refresh_at": f"NOW() + ({REST_SECONDS - LIFETIME} + random() * {LIFETIME}) * INTERVAL '1 second'",
    }
    constants = {column: value for column, value in pattern.items() if column not in computed}
    with connections[using].cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {TABLE} ({', '.join([*computed, *constants])}) "
            f"SELECT {', '.join([*computed.values(), *['%s'] * len(constants)])} "
            f"FROM generate_series(%s, %s) AS number",
            [*constants.values(), first, first + number - 1],
        )


def publish_copies(client: redis.Redis) -> int:
    """Give every mailbox that has no copy in the cache one, with the right header; how many it were.

    The sealed tokens in them are of the right size, but open nowhere.
    """
    made = 0
    for headers in _batches(_headers(), 1000):
        pipeline = client.pipeline(transaction=False)
        for pk, header in headers:
            name = str(caches["default"].make_key(cache_key(pk, MAIL)))
            pipeline.set(name, _copy_of(header), ex=REST_SECONDS, nx=True)
        made += sum(bool(answer) for answer in pipeline.execute())
    return made


def settle(using: str = "default") -> None:
    """Leave the table as a long life would: statistics known, everything written out."""
    with connections[using].cursor() as cursor:
        cursor.execute(f"VACUUM ANALYZE {TABLE}")
        cursor.execute("CHECKPOINT")


_copies: dict[Header, bytes] = {}


def _copy_of(header: Header) -> bytes:
    if header not in _copies:
        secret = Secret(token("access", 0, ACCESS_TOKEN_LENGTH))
        _copies[header] = header.bytes() + seal(secret, place_of(uuid4(), MAIL, header)).packed
    return _copies[header]


def _headers() -> Iterator[tuple[UUID, Header]]:
    rows = MailCredentials.objects.values_list("pk", "generation", "token_issued_at", "token_expiry")
    for pk, generation, issued, expiry in rows.iterator(chunk_size=10_000):
        assert issued is not None
        assert expiry is not None
        yield pk, Header(generation, int(issued.timestamp()), int(expiry.timestamp()))


def _batches(items: Iterator[tuple[UUID, Header]], size: int) -> Iterator[list[tuple[UUID, Header]]]:
    while batch := list(islice(items, size)):
        yield batch


def _next_user(number: int, using: str) -> int:
    """The first of `number` users who have no mailbox yet."""
    with connections[using].cursor() as cursor:
        cursor.execute(f"SELECT COALESCE(MAX(user_id), 0) FROM {TABLE}")
        first = int(cursor.fetchone()[0]) + 1
    make_users(first + number - 1, using)
    return first


def _columns(issued: dt.datetime, lifetime: int, refresh_at: dt.datetime) -> dict[str, Any]:
    """The columns of a connected mailbox, whose own ones `_own` replaces."""
    scopes = " ".join(provider_for("microsoft").requested_scopes)
    mailbox = MailCredentials(
        user_id=0,
        provider="microsoft",
        issuer="https://127.0.0.1/v2.0",
        token_issued_at=issued,
        token_expiry=issued + dt.timedelta(seconds=lifetime),
        refresh_token_expires_at=issued + dt.timedelta(days=90),
        grant_end_estimated=True,
        requested_scopes=scopes,
        granted_scopes=scopes,
        refresh_at=refresh_at,
        last_refreshed_at=issued,
        created_at=issued,
    )
    columns = {
        str(field.column): field.get_db_prep_save(getattr(mailbox, field.attname), connections["default"])
        for field in MailCredentials._meta.concrete_fields
    }
    return columns | _own(mailbox.pk, 0)


def _own(pk: UUID, user: int) -> dict[str, Any]:
    """What one mailbox shares with no other, with its tokens sealed."""
    tokens = {
        "access_token": token("access", user, ACCESS_TOKEN_LENGTH),
        "refresh_token": token("refresh", user, REFRESH_TOKEN_LENGTH),
    }
    return {
        "id": pk,
        "user_id": user,
        "subject": f"subject{user}",
        "tenant": f"tenant{user % TENANTS}",
        "email": f"user{user}@example.com",
        **{
            column: seal(Secret(text), MailCredentials.place_of(pk, column)).text.encode()
            for column, text in tokens.items()
        },
    }


def _copy(pks: list[UUID], columns: dict[str, Any], using: str) -> None:
    """Store a mailbox for each key, for one new user each; each falls due a millisecond after the one before."""
    first = _next_user(len(pks), using)
    statement = f"COPY {TABLE} ({', '.join(columns)}) FROM STDIN"
    with connections[using].cursor() as cursor, cursor.copy(statement) as copy:
        for index, pk in enumerate(pks):
            due = columns["refresh_at"] - dt.timedelta(milliseconds=len(pks) - index)
            copy.write_row(list((columns | _own(pk, first + index) | {"refresh_at": due}).values()))
