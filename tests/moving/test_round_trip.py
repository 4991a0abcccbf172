"""What is exported comes back as it was, sealed or in the open: every column but those of the row's own life here."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mail_oauth.encryption import seal, unseal
from mail_oauth.managers.queryset import REFRESHABLE
from mail_oauth.managers.vocabulary import Access, RefreshPolicy, Status
from mail_oauth.models import MailCredentials
from mail_oauth.moving.aliases import Aliases
from mail_oauth.moving.exporting import export
from mail_oauth.moving.importing import Import, Wishes
from mail_oauth.moving.sources.json_lines import SCHEMA, JSONLines, place_of
from mail_oauth.sealing import Sealed
from mail_oauth.tokens import Secret
from tests.moving.conftest import outcomes

pytestmark = pytest.mark.django_db

STAYS = frozenset(
    (
        "id generation created_at lease_owner refresh_at last_refreshed_at refresh_failures last_refresh_error "
        "rejected_at access app_key access_token refresh_token"
    ).split()
)
"""Of the row's own life at one site, or of no user's mailbox; the tokens are compared as what they are."""

COMES = {field.attname for field in MailCredentials._meta.concrete_fields} - STAYS

moments = st.datetimes(datetime(2000, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
texts = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=30)
scopes = st.lists(
    st.sampled_from(["openid", "https://mail.example/IMAP.All", "offline_access", "mail"]), unique=True
)
addresses = st.sampled_from(
    ["ada@example.com", "Ada.Lovelace@Example.COM", "jörg@müller.example", '"a b"@example.com']
)


@st.composite
def columns(draw):
    """What a mailbox may have, whatever its provider, its user and its staff have done to it."""
    status = draw(st.sampled_from([status for status in Status if status != Status.DISCONNECTED]))
    subject = draw(texts)
    ends = draw(st.none() | moments)
    issued_at = timezone.now() - timedelta(
        seconds=draw(st.integers(1, 80_000)), microseconds=draw(st.integers(0, 99))
    )
    expiry = draw(
        st.none() | st.integers(60, 3600).map(lambda seconds: timezone.now() + timedelta(seconds=seconds))
    )
    return {
        "provider": draw(st.sampled_from(["microsoft", "google", "keycloak"])),
        "email": draw(addresses),
        "email_verified": draw(st.booleans()),
        "address_typed": draw(st.booleans()),
        "sign_in_address": draw(addresses | texts),
        "use_oauth": draw(st.booleans()),
        "issuer": subject and draw(texts.filter(bool)),
        "subject": subject,
        "tenant": subject and draw(texts),
        "status": status,
        "status_reason": draw(st.sampled_from(["", "invalid_grant", "scope_missing", "AADSTS53003"])),
        "status_changed_at": draw(moments),
        "connected_at": draw(moments),
        "last_used_at": draw(st.none() | moments),
        "refresh_policy": draw(st.sampled_from(["", *RefreshPolicy])),
        "refresh_token_expires_at": ends,
        "grant_end_estimated": ends is not None and draw(st.booleans()),
        "grant_warned_at": draw(st.none() | moments),
        "outcome_unknown": draw(st.booleans()),
        "requested_scopes": " ".join(draw(scopes)),
        "granted_scopes": " ".join(draw(scopes)),
        "token_issued_at": issued_at,
        "token_expiry": expiry,
    }


def stored(values, user):
    row = MailCredentials(user=user, **values)
    row.refresh_token = row.sealed("refresh_token", Secret("a-refresh-token"))
    row.access_token = row.sealed("access_token", Secret("an-access-token")) if values["token_expiry"] else None
    row.save()
    return row


def lines_of(*, readable):
    every = (line for page in export(MailCredentials.objects.all(), readable=readable) for _, line in page)
    return "\n".join(every).encode()


def brought(lines):
    source = JSONLines(Path("-"), io.BytesIO(lines))
    return [result for page in Import(source, Wishes(aliases=Aliases())).run() for result in page]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=columns(), readable=st.booleans())
def test_every_column_that_means_something_elsewhere(values, readable, user, provider):
    MailCredentials.objects.all().delete()
    row = stored(values, user)
    before = MailCredentials.objects.values(*COMES).get()
    lines = lines_of(readable=readable)
    row.delete()
    [result] = brought(lines)
    assert result.outcome.name == "IMPORTED", result
    back = MailCredentials.objects.get()
    expected = dict(before)
    if row.status == Status.UNREADABLE:  # its tokens have just been opened
        expected |= {"status": Status.CONNECTED, "status_reason": "", "status_changed_at": back.status_changed_at}
    if row.refresh_token_expires_at is None:
        expected |= {name: getattr(back, name) for name in ("refresh_token_expires_at", "grant_end_estimated")}
    assert {name: getattr(back, name) for name in COMES} == expected
    assert back.open_refresh_token().reveal() == "a-refresh-token"
    assert back.open_access_token() == (None if row.token_expiry is None else Secret("an-access-token"))
    assert (back.refresh_at is not None) == (back.use_oauth and back.status in REFRESHABLE)


class TestWhatNeedsSomebody:
    @pytest.fixture
    def exported(self, connect, run, elsewhere):
        def write(**columns):
            row = connect("google", email="ada@example.com")
            MailCredentials.objects.filter(pk=row.pk).update(**columns)
            file = elsewhere / "export.jsonl"
            assert run("export", "--output", file)[0] == 0
            return row, file

        return write

    @pytest.mark.parametrize("status", [Status.NEEDS_REAUTH, Status.NEEDS_ADMIN, Status.NEEDS_ATTENTION])
    def test_still_needs_them_and_the_report_says_so(self, status, exported, report):
        row, file = exported(status=status, status_reason="invalid_grant")
        row.delete()
        [result] = report("jsonl", file)
        assert (result["outcome"], result["reason"]) == ("imported", status)
        back = MailCredentials.objects.get()
        assert (back.status, back.status_reason) == (status, "invalid_grant")

    def test_takes_the_place_of_nothing_that_works(self, exported, report):
        _, file = exported(status=Status.NEEDS_REAUTH, token_issued_at=timezone.now())
        earlier = timezone.now() - timedelta(hours=1)
        MailCredentials.objects.update(status="connected", last_refreshed_at=None, token_issued_at=earlier)
        assert outcomes(report("jsonl", file)) == ["here"]
        assert MailCredentials.objects.get().status == Status.CONNECTED


def test_a_mailbox_with_fewer_scopes_than_are_asked_for_comes_back_with_its_token(connect, provider):
    row = connect("microsoft")
    few = "https://outlook.office.com/IMAP.AccessAsUser.All offline_access"
    MailCredentials.objects.update(granted_scopes=few, status_reason="scope_missing")
    token, lines = row.open_access_token(), lines_of(readable=False)
    row.delete()
    brought(lines)
    back = MailCredentials.objects.get()
    assert (back.granted_scopes, back.status_reason) == (few, "scope_missing")
    assert back.get_access_token() == token


def test_the_access_of_the_app_itself_is_no_grant_and_stays(connect, run, elsewhere):
    connect("microsoft")
    MailCredentials.objects.create(provider="microsoft", access=Access.SHARED, email="info@example.com")
    MailCredentials.objects.create(provider="microsoft", access=Access.APP, app_key="microsoft")
    code, text = run("export", "--output", elsewhere / "lines")
    assert (code, len((elsewhere / "lines").read_text().splitlines())) == (0, 1)
    assert "1 mailboxes exported" in text
    assert "1 left out that the app itself is let into" in text


@pytest.mark.parametrize(
    ("version", "reason"),
    [(SCHEMA + 1, "newer_schema"), ("1", "mail_oauth"), (True, "mail_oauth"), (0, "mail_oauth")],
)
@pytest.mark.parametrize("readable", [True, False])
def test_lines_of_another_version_are_not_guessed_at(version, reason, readable, connect):
    row = connect("google")
    line = json.loads(lines_of(readable=readable))
    row.delete()
    [result] = brought(json.dumps(line | {"mail_oauth": version}).encode())
    assert (result.outcome.name, result.reason) == ("UNREADABLE", reason)


def test_a_sealed_line_is_of_the_version_that_is_sealed_in_it(connect):
    row = connect("google")
    line = json.loads(lines_of(readable=False))
    inside = json.loads(unseal(Sealed(line["sealed"]), place_of(line["id"])).reveal())
    sealed = seal(Secret(json.dumps(inside | {"mail_oauth": SCHEMA + 1})), place_of(line["id"])).text
    row.delete()
    [result] = brought(json.dumps(line | {"sealed": sealed}).encode())
    assert (result.outcome.name, result.reason) == ("UNREADABLE", "newer_schema")


@pytest.mark.parametrize(
    ("member", "value"),
    [("status", "disconnected"), ("status", "fine"), ("status", []), ("connected_at", "2031-01-31T09:00:00"),
     ("connected_at", 7), ("last_used_at", "9999-12-31T23:59:59-14:00"), ("refresh_policy", "never"),
     ("email_verified", "perhaps"), ("sign_in_address", "a\x1b[2J"), ("status_reason", "x" * 65)],
)  # fmt: skip
def test_a_line_that_somebody_has_edited_badly_is_none(member, value, connect):
    row = connect("google")
    line = json.loads(lines_of(readable=True))
    row.delete()
    [result] = brought(json.dumps(line | {member: value}).encode())
    assert (result.outcome.name, result.reason) == ("UNREADABLE", member)


def test_only_an_export_says_more_of_a_mailbox_than_whose_it_is(lines, line_of, granted, report):
    """From elsewhere nobody can tell how a mailbox was here."""
    also = {"status": "needs_reauth", "email_verified": True, "refresh_policy": "on_demand"}
    assert outcomes(report("jsonl", lines(line_of(granted(), **also)))) == ["imported"]
    row = MailCredentials.objects.get()
    assert (row.status, row.email_verified, row.refresh_policy) == (Status.CONNECTED, False, "")


def test_a_mailbox_of_a_user_without_a_name_is_nobody_elses(connect, run, report, elsewhere, user, other_user):
    """Where users are named by their addresses, a mailbox's own would be somebody else's name."""
    row = connect("google", email="mallory@example.com")
    type(user).objects.filter(pk=user.pk).update(email="")
    type(user).objects.filter(pk=other_user.pk).update(email="mallory@example.com")
    run("export", "--output", elsewhere / "lines", "--user-field", "email")
    row.delete()
    assert outcomes(report("jsonl", elsewhere / "lines", "--user-field", "email")) == ["unknown_user"]
    assert not MailCredentials.objects.exists()


@pytest.mark.parametrize("column", ["password", "groups", "mail_credentials", "no_such"])
def test_users_are_named_by_a_column_that_names_them(column, connect, run, lines, elsewhere):
    connect("google")
    for arguments in (["export", "--output", elsewhere / "lines"], ["import", "jsonl", lines("{}")]):
        code, text = run(*arguments, "--user-field", column)
        assert (code, "no column" in text) == (1, True)
    assert not (elsewhere / "lines").exists()
