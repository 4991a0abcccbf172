"""`--verify`: one refresh through the engine shows what a grant is worth."""

from __future__ import annotations

import pytest

from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials
from mail_oauth.testing.faults import Fault
from tests.moving.conftest import outcomes

pytestmark = pytest.mark.django_db


def proofs(results):
    return [(each["proof"], each["proof_reason"]) for each in results]


def test_a_grant_that_works(lines, line_of, granted, report, provider, posts):
    file = lines(line_of(granted()))
    assert proofs(report("jsonl", file, "--verify")) == [("proven", "")]
    row = MailCredentials.objects.get()
    assert posts(row) == 1
    assert proofs(report("jsonl", file, "--verify")) == [("", "")]
    assert posts(row) == 1


def test_one_that_stands_there_twice_is_refreshed_once(lines, line_of, granted, report, posts):
    entry = line_of(granted())
    results = report("jsonl", lines(entry, entry), "--verify")
    assert [(each["outcome"], *proof) for each, proof in zip(results, proofs(results), strict=True)] == [
        ("imported", "proven", ""),
        ("here", "proven", ""),
    ]
    assert posts(MailCredentials.objects.get()) == 1


def test_one_that_was_imported_without_is_verified_when_it_is_run_again(lines, line_of, granted, report, posts):
    file = lines(line_of(granted()))
    assert proofs(report("jsonl", file)) == [("", "")]
    [result] = report("jsonl", file, "--verify")
    assert (result["outcome"], result["proof"]) == ("here", "proven")


def test_one_that_has_ended_is_told_each_time(lines, line_of, granted, run, provider):
    file = lines(line_of(granted(), refresh_token="nobody-granted-this"))
    provider.clear_calls()
    for _ in range(2):
        code, text = run("import", "jsonl", file, "--verify")
        assert code == 1
        assert "line 1: verified: failed, AADSTS70000" in text
        assert MailCredentials.objects.get().status == Status.NEEDS_REAUTH
    assert len(provider.token_calls("refresh_token")) == 1
    assert run("import", "jsonl", file)[0] == 0


def test_one_that_opens_no_mail_is_told_each_time(lines, line_of, granted, report, provider):
    file = lines(line_of(granted()))
    with provider.fault(Fault.reply_with(scope="openid"), endpoint="token"):
        assert proofs(report("jsonl", file, "--verify")) == [("failed", "scope_missing")]
    assert proofs(report("jsonl", file, "--verify")) == [("failed", "scope_missing")]


def test_one_that_is_switched_off_or_disconnected_is_no_failure(lines, line_of, granted, report, provider):
    file = lines(line_of(granted(), use_oauth=False))
    assert proofs(report("jsonl", file, "--verify") + report("jsonl", file, "--verify")) == [("", "")] * 2
    MailCredentials.objects.update(status=Status.DISCONNECTED)
    assert proofs(report("jsonl", file, "--verify")) == [("", "")]


def test_a_dry_run_verifies_nothing(lines, line_of, granted, report, provider):
    provider.clear_calls()
    report("jsonl", lines(line_of(granted())), "--verify", "--dry-run")
    assert provider.token_calls("refresh_token") == []


def test_it_stops_at_the_brake(lines, line_of, granted, report, provider, settings):
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "BRAKE_COUNT": 3}
    dead = [line_of(granted(), refresh_token=f"nobody-granted-this-{number}") for number in range(12)]
    provider.clear_calls()
    results = report("jsonl", lines(*dead), "--verify", "--threads", 1)
    assert outcomes(results) == ["imported"] * 12
    assert proofs(results).count(("untried", "brake")) >= 8
    assert len(provider.token_calls("refresh_token")) <= 4
    assert not MailCredentials.objects.filter(status=Status.NEEDS_REAUTH).exists()


def test_a_wrong_client_costs_a_few_calls_and_nobodys_consent(lines, line_of, granted, report, provider, settings):
    good = [line_of(granted()) for _ in range(8)]
    wrong = {**settings.MAIL_OAUTH["PROVIDERS"]["microsoft"], "CLIENT_SECRET": "wrong"}
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROVIDERS": {"microsoft": wrong}}
    provider.clear_calls()
    results = report("jsonl", lines(*good), "--verify", "--threads", 1)
    assert {proof for proof, _ in proofs(results)} == {"failed", "untried"}
    assert len(provider.token_calls("refresh_token")) <= 2
    assert not MailCredentials.objects.filter(status=Status.NEEDS_REAUTH).exists()
