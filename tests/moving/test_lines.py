"""JSON Lines, from anywhere."""

from __future__ import annotations

import io
import json
import sys

import pytest

from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from tests.moving.conftest import outcomes

pytestmark = pytest.mark.django_db


def test_a_line_is_a_mailbox_with_all_that_it_says(lines, line_of, granted, report, user, provider):
    grant = granted("keycloak")
    said = {
        "issuer": "https://issuer.example",
        "subject": "ada",
        "tenant": "contoso",
        "scopes": ["openid", "email", "offline_access", "mail"],
        "address_typed": True,
    }
    assert outcomes(report("jsonl", lines(line_of(grant, "keycloak", **said)))) == ["imported"]
    row = MailCredentials.objects.get()
    assert (row.issuer, row.subject, row.tenant) == ("https://issuer.example", "ada", "contoso")
    assert row.address_typed
    assert row.granted_scopes == "openid email offline_access mail"
    assert provider.is_valid_access_token(row.refresh_now().reveal())


def test_the_least_that_is_enough(lines, granted, report, user, provider):
    grant = granted()
    least = {"user": user.pk, "provider": "microsoft", "email": grant.email, "refresh_token": grant.refresh_token}
    assert outcomes(report("jsonl", lines(least))) == ["imported"]
    assert provider.is_valid_access_token(MailCredentials.objects.get().get_access_token().reveal())


@pytest.mark.parametrize("end", ["2031-01-31T09:00:00Z", "soon"])
def test_an_end_that_cannot_be_an_access_tokens_counts_only_beside_one(lines, line_of, granted, report, end):
    line = {**line_of(granted()), "expires_at": end}
    line.pop("access_token", None)
    results = report("jsonl", lines({**line, "access_token": "in the open"}, line))
    assert [(each["outcome"], each["reason"]) for each in results] == [
        ("unreadable", "expires_at"),
        ("imported", ""),
    ]
    assert MailCredentials.objects.get().token_expiry is None


def test_from_standard_input(line_of, granted, report, provider, monkeypatch):
    raw = io.BytesIO(json.dumps(line_of(granted())).encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(raw))
    assert outcomes(report("jsonl", "-")) == ["imported"]


def test_lines_that_are_none_are_told_by_their_numbers(lines, line_of, granted, report, provider):
    good = line_of(granted())
    results = report("jsonl", lines("", "{", good, "x" * 1_100_000, json.dumps({**good, "user": {"a": 1}})))
    assert [(each["where"], each["outcome"], each["reason"]) for each in results] == [
        ("line 2", "unreadable", "not_json"),
        ("line 3", "imported", ""),
        ("line 4", "unreadable", "too_large"),
        ("line 5", "unreadable", "user"),
    ]


def test_of_several_lines_of_one_mailbox_the_newest_counts(lines, line_of, granted, report):
    older, newest, old = (granted(email="ada@example.com", minutes_ago=ago) for ago in (50, 1, 30))
    twin = line_of(newest, email="ADA@example.com")
    assert outcomes(report("jsonl", lines(line_of(older), twin, line_of(old)))) == ["here", "imported", "here"]
    assert MailCredentials.objects.get().open_refresh_token().reveal() == newest.refresh_token


def test_the_address_of_another_account_is_not_taken(lines, line_of, granted, report, connect, user):
    row = connect(email="ada@example.com")
    MailCredentials.objects.update(status=Status.NEEDS_REAUTH)
    said = {"issuer": row.issuer, "subject": "somebody-else"}
    assert outcomes(report("jsonl", lines(line_of(granted(email=row.email), **said)))) == ["another_account"]
    assert MailCredentials.objects.get().generation == row.generation


def test_of_a_mailbox_whose_address_has_changed_here_it_is_the_same(lines, line_of, granted, report, connect):
    row = connect(email="ada@example.com")
    said = {"issuer": row.issuer, "subject": row.subject}
    assert outcomes(report("jsonl", lines(line_of(granted(), **said)))) == ["here"]


class TestWhereOneUserAloneMayHoldAMailbox:
    @pytest.fixture(autouse=True)
    def _refuse(self, settings, provider):
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "SHARED_MAILBOXES": "refuse"}

    @pytest.mark.parametrize("also", [[], ["--dry-run"]])
    def test_an_import_gives_it_to_no_second_one(self, also, lines, line_of, granted, report, connect, other_user):
        held = connect(email="held@example.com", owner=other_user)
        results = report("jsonl", lines(line_of(granted(email=held.email), address_typed=True)), *also)
        assert outcomes(results) == ["held_by_another"]

    def test_nor_one_file_to_two(self, lines, line_of, granted, report, other_user):
        grant = granted(email="ada@example.com")
        first, second = line_of(grant), line_of(grant, user=other_user.pk)
        assert outcomes(report("jsonl", lines(first, second))) == ["imported", "held_by_another"]


def test_an_alias_that_there_is_not(lines, run, provider):
    code, text = run("import", "jsonl", lines("{}"), "--provider", "microsft")
    assert code == 1
    assert "microsoft" in text


def test_an_alias_that_is_misconfigured_says_so(lines, line_of, granted, report, settings):
    good, entry = line_of(granted("google"), "google"), line_of(granted())
    providers = settings.MAIL_OAUTH["PROVIDERS"]
    microsoft = {**providers["microsoft"], "TENANT": "no tenant!"}
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROVIDERS": {**providers, "microsoft": microsoft}}
    results = report("jsonl", lines(entry, good))
    assert outcomes(results) == ["misconfigured", "imported"]
    assert "TENANT" in results[0]["reason"]


def test_a_report_never_takes_a_files_place(lines, run, provider, tmp_path):
    there = tmp_path / "there"
    there.write_text("kept")
    code, text = run("import", "jsonl", lines("{}"), "--report", there)
    assert (code, there.read_text()) == (1, "kept")
    assert "there already" in text


def test_the_report_is_for_its_owner_and_holds_no_token(lines, line_of, granted, run, provider, tmp_path):
    grant = granted()
    file = tmp_path / "report"
    code, text = run("import", "jsonl", lines(line_of(grant), "{"), "--report", file)
    assert code == 1
    assert "1 of 2 entries need a look" in text
    assert file.stat().st_mode & 0o777 == 0o600
    for said in (text, file.read_text()):
        assert grant.refresh_token not in said
        assert grant.access_token not in said


def test_a_file_that_there_is_not(run, provider, tmp_path):
    code, text = run("import", "jsonl", tmp_path / "nothing")
    assert code == 1
    assert "no file" in text
