"""The database writes the header that a copy must have; what is as it says agrees, and everything else is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.test import override_settings
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mail_oauth.cache import Header, cache_key, token_cache
from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.upkeep.drift import COLUMNS, RowState, drift
from mail_oauth.upkeep.pages import WholeSeconds, expected_header, pages

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)

EDGES = (0, 1, 200_000, 499_999, 500_000, 60_000_000, 60_000_001, 3_600_000_000)
MICROSECONDS = st.sampled_from([sign * edge for edge in EDGES for sign in (1, -1)]) | st.integers(
    -90_000_000, 90_000_000
)
MOMENTS = MICROSECONDS.map(lambda micros: NOW + timedelta(microseconds=micros))
ROWS = st.fixed_dictionaries(
    {
        "generation": st.integers(1, 3) | st.integers(1, 2**53 - 1),
        "status": st.sampled_from([Status.CONNECTED] * 3 + [Status.NEEDS_REAUTH, Status.DISCONNECTED]),
        "use_oauth": st.sampled_from([True, True, True, False]),
        "token_issued_at": MOMENTS | MOMENTS | MOMENTS | st.none(),
        "token_expiry": MOMENTS | MOMENTS | MOMENTS | st.none(),
    }
)
OFF_BY = st.sampled_from([0] * 8 + [-1, 1, 10])
KINDS = st.sampled_from(["own", "own", "own", "nothing", "tombstone", "garbage", "header"])
COPIES = st.tuples(KINDS, OFF_BY, OFF_BY, OFF_BY, st.binary(max_size=50))


def value(row: dict[str, Any], kind: str, generation: int, issued: int, expiry: int, tail: bytes) -> bytes | None:
    """What stands in the cache: the row's own copy, with its header off by so much, or something else."""
    if kind == "nothing":
        return None
    if kind == "garbage":
        return tail
    number = max(row["generation"] + generation, 0)
    if kind == "tombstone":
        return Header(number, 0, 0).bytes()
    seconds = [int((row[name] or NOW).timestamp()) for name in ("token_issued_at", "token_expiry")]
    header = Header(number, seconds[0] + issued, seconds[1] + expiry).bytes()
    return header if kind == "header" else header + b"mo1:" + tail


@contextmanager
def stored(rows: list[dict[str, Any]], user: Any) -> Iterator[list[MailCredentials]]:
    made = [
        MailCredentials(user=user, provider="microsoft", email=f"{uuid4()}@example.com", **columns)
        for columns in rows
    ]
    yield MailCredentials.objects.bulk_create(made)
    MailCredentials.objects.filter(user=user).delete()


@pytest.mark.parametrize("validity", [0, 60])
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(ROWS, COPIES), min_size=1, max_size=12))
def test_what_is_taken_to_agree_does(user, locmem_cache, validity, pairs):
    """The quick way may never say of a copy that it agrees where `drift`, which is the judge, says that it does not."""
    with (
        override_settings(MAIL_OAUTH={"MIN_VALIDITY": validity}),
        stored([columns for columns, _ in pairs], user) as rows,
    ):
        cache.clear()
        held = {}
        for row, (columns, copy) in zip(rows, pairs, strict=True):
            held[row.pk] = value(columns, *copy)
            if held[row.pk] is not None:
                cache.set(cache_key(row.pk, "mail"), held[row.pk], timeout=600)
        expected = dict(MailCredentials.objects.values_list("pk", expected_header(NOW)))
        suspects = token_cache.differing(expected)
        for values in MailCredentials.objects.values_list(*COLUMNS):
            state = RowState(*values)
            if state.pk not in suspects:
                assert drift(state, Header.parse(held[state.pk]), NOW) is None, (state, held[state.pk])


HOUR = timedelta(hours=1)
HEALTHY = {"generation": 7, "token_issued_at": NOW - HOUR, "token_expiry": NOW + HOUR}
OWN = f"1|7|{int((NOW - HOUR).timestamp())}|{int((NOW + HOUR).timestamp())}|"


@pytest.mark.parametrize(
    ("changes", "header"),
    [
        pytest.param({}, OWN, id="of a valid token, its own"),
        pytest.param({"status": Status.NEEDS_REAUTH}, "", id="of a mailbox out of use, none"),
        pytest.param({"use_oauth": False}, "", id="of one that is switched off, none"),
        pytest.param({"token_expiry": None}, "", id="without a token, none"),
        pytest.param({"token_issued_at": None}, "", id="without its times, none"),
        pytest.param({"token_expiry": NOW}, "", id="of an expired token, none"),
        pytest.param({"token_expiry": NOW + timedelta(microseconds=1)}, None, id="within its last second, unsure"),
    ],
)
def test_the_header(user, changes, header):
    """Whoever has no copy and needs none costs no closer look."""
    with stored([HEALTHY | changes], user):
        assert MailCredentials.objects.values_list(expected_header(NOW), flat=True).get() == header


@pytest.mark.parametrize("fraction", [0, 1, 499_999, 500_000, 999_499, 999_500, 999_999])
def test_seconds_are_cut_off_and_not_rounded(user, fraction):
    moment = NOW.replace(microsecond=fraction)
    with stored([{"token_expiry": moment}], user):
        seconds = MailCredentials.objects.values_list(WholeSeconds("token_expiry"), flat=True).get()
    assert seconds == int(moment.timestamp())


def test_a_page_names_mailboxes_as_keys_do(user):
    used = timezone.now().replace(second=0, microsecond=0)
    with stored([{"last_used_at": used}, {}, {}], user) as rows:
        (page,) = pages(MailCredentials.objects.all())
        assert [(pk, last) for pk, _, _, last in page if last] == [(str(rows[0].pk), str(int(used.timestamp())))]
        assert {pk for pk, *_ in page} == {str(row.pk) for row in rows}
