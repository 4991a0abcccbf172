"""A token's times are the datetimes that it was made with, although it keeps numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mail_oauth.tokens import AccessToken, Secret

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
moments = st.integers(0, 2**32 * 10**6).map(lambda microseconds: EPOCH + timedelta(microseconds=microseconds))


@given(moments, st.timedeltas(timedelta(0), timedelta(days=90)), moments)
def test_to_the_microsecond(issued_at, life, now):
    token = AccessToken("clear", issued_at=issued_at, expires_at=issued_at + life, generation=4)
    assert (token.issued_at, token.expires_at) == (issued_at, issued_at + life)
    assert token.lifetime == pytest.approx(life.total_seconds(), abs=2e-6)
    assert token.seconds_left(now) == pytest.approx((issued_at + life - now).total_seconds(), abs=1e-5)


def test_in_utc_whatever_their_zone():
    west = timezone(timedelta(hours=-5))
    token = AccessToken(
        "clear",
        issued_at=datetime(2026, 1, 1, tzinfo=west),
        expires_at=datetime(2026, 1, 2, tzinfo=west),
        generation=1,
    )
    assert token.issued_at == datetime(2026, 1, 1, 5, tzinfo=UTC)
    assert token.issued_at.tzinfo is UTC


def test_from_seconds_since_1970():
    token = AccessToken.of_epoch("clear", 0, 3600, 7)
    assert isinstance(token, Secret)
    assert (token.reveal(), token.generation, token.lifetime) == ("clear", 7, 3600)
    assert token.expires_at == datetime(1970, 1, 1, 1, tzinfo=UTC)
    assert token.seconds_left(datetime(1970, 1, 1, tzinfo=UTC)) == 3600
    assert token.seconds_left() < 0
