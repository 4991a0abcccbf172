"""What is readable, and whose it is: decisions, by tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from mail_oauth.moving.entries import Entry, shown
from mail_oauth.moving.judging import identity_of
from mail_oauth.moving.values import BadValue, flag_in, moment_in, refresh_token_in, scopes_in
from mail_oauth.providers import provider_for

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (None, None),
        ("", None),
        (0, None),
        (NOW.timestamp(), NOW),
        (NOW.timestamp() * 1000, NOW),
        ("1769860800", NOW),
        ("1769860800000", NOW),
        ("2026-01-31T12:00:00Z", NOW),
        ("2026-01-31T13:00:00+01:00", NOW),
        (NOW, NOW),
        ("2026-01-31 12:00:00", None),
    ],
)
def test_moments(value, moment):
    assert moment_in(value) == moment


def test_a_moment_of_a_database_without_zones_is_of_the_sites_own(settings):
    settings.TIME_ZONE = "Asia/Tokyo"
    assert moment_in(NOW.replace(tzinfo=None)) == NOW - timedelta(hours=9)


@pytest.mark.parametrize(
    "value",
    [True, "soon", "2026-02-30T00:00:00Z", -1, float("nan"), float("inf"), 1e30, "9" * 20, [], {}, "١٢٣",
     datetime(1999, 1, 1, tzinfo=UTC), lambda: timezone.now() + timedelta(days=2)],
    ids=repr,
)  # fmt: skip
def test_what_is_no_moment(value):
    with pytest.raises(BadValue):
        moment_in(value() if callable(value) else value)


@pytest.mark.parametrize("value", [7, True, [], {}, "two\nlines", "\0", "é", "x" * 200_000])
def test_what_is_no_refresh_token(value):
    with pytest.raises(BadValue):
        refresh_token_in({"token": value}, "token")


def test_scopes_and_flags():
    assert scopes_in("a b,c") == scopes_in(["a b", "c"]) == ("a", "b", "c")
    assert scopes_in(None) is scopes_in("") is scopes_in([]) is None
    assert [flag_in(value, "") for value in (True, "false", 0, 1, "true", None)] == [
        True, False, False, True, True, None,
    ]  # fmt: skip
    for bad in ({}, [1], 7, "maybe", 1.5):
        with pytest.raises(BadValue):
            flag_in(bad, "flag")
    with pytest.raises(BadValue):
        scopes_in([1])


def test_names_of_others_move_no_cursor():
    assert shown("a\x1b[2Jb") == "a\\x1b[2Jb"
    assert len(shown("x" * 5000)) < 300


class TestWhoseAccount:
    """A subject that this site would spell otherwise is worse than none."""

    @pytest.fixture(autouse=True)
    def _providers(self, settings):
        client = {"CLIENT_ID": "x", "CLIENT_SECRET": "y"}
        microsoft = {**client, "TENANT": "organizations"}
        settings.MAIL_OAUTH = {"PROVIDERS": {"google": client, "microsoft": microsoft}}

    TID, OID = "11111111-2222-4333-8444-555555555555", "99999999-2222-4333-8444-555555555555"

    def claims(self, **also):
        issuer = f"https://login.microsoftonline.com/{self.TID}/v2.0"
        return {"iss": issuer, "tid": self.TID, "oid": self.OID, "sub": "pairwise", **also}

    def test_by_microsofts_own_claims(self):
        found = identity_of(Entry(where="", claims=self.claims()), provider_for("microsoft"))
        assert (found.subject, found.tenant) == (f"{self.TID}/{self.OID}", self.TID)

    @pytest.mark.parametrize(
        "also", [{"iss": "https://sts.windows.net/x/"}, {"tid": "x"}, {"iss": None}, {"tid": None}, {"tid": [1]}]
    )
    def test_not_by_claims_of_another_kind(self, also):
        assert not identity_of(Entry(where="", claims=self.claims(**also)), provider_for("microsoft")).subject

    def test_googles_sub_is_google_s_alone(self):
        entry = Entry(where="", subject="1234")
        assert identity_of(entry, provider_for("google")).subject == "1234"
        assert identity_of(entry, provider_for("microsoft")).subject == ""
