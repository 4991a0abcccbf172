"""Every command, outcome and name of docs/moving-in.md is executed or compared."""

from __future__ import annotations

import io
import json
import re

import pytest
from django.core.management import call_command

from mail_oauth.conf import NAMES
from mail_oauth.managers.vocabulary import EventKind
from mail_oauth.models import MailCredentials
from mail_oauth.moving.aliases import Aliases
from mail_oauth.moving.outcomes import Outcome
from mail_oauth.moving.values import ADDRESS_NAMES
from tests.documentation.blocks import DOCS, block, commands

PAGE = DOCS / "moving-in.md"
TEXT = PAGE.read_text()


def call(arguments: list[str]) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out, stderr=out)
    return out.getvalue()


def shown(*words: str) -> list[list[str]]:
    return [each for each in commands(PAGE) if all(word in each for word in words)]


def test_each_command_is_run_by_one_of_these():
    assert len(commands(PAGE)) == 12
    by_source = {each[2] for each in commands(PAGE) if each[1] == "import"}
    assert by_source == {"redis", "allauth", "social-auth", "o365", "jsonl"}


@pytest.mark.django_db
def test_the_order_of_a_switch(redis_server, granted, user, monkeypatch, tmp_path):
    redis_server.start()
    redis_server.flush()
    monkeypatch.setenv("MAIL_OAUTH_IMPORT_REDIS_URL", redis_server.url)
    monkeypatch.chdir(tmp_path)
    grant = granted()
    value = {
        "email": grant.email,
        "refreshToken": grant.refresh_token,
        "tokenExpiry": grant.expires_at.isoformat(),
    }
    with redis_server.client() as client:
        client.set(f"email:credentials:{user.pk}:1", json.dumps(value))
    dry, again, last = shown("redis")
    assert "imported" in call(dry)
    assert not MailCredentials.objects.exists()
    assert "imported" in call(again)
    assert "verified: proven" in call(last)
    [line] = (tmp_path / "import.jsonl").read_text().splitlines()
    assert json.loads(line)["outcome"] == "here"
    assert MailCredentials.objects.get().events.first().kind == EventKind.IMPORTED


@pytest.mark.django_db
def test_the_other_packages(allauth, provider):
    for arguments in shown("allauth"):
        assert "nothing to import" in call(arguments)


@pytest.mark.django_db
def test_social_auth(social, provider):
    for arguments in shown("social-auth"):
        assert "nothing to import" in call(arguments)


@pytest.mark.django_db
def test_o365(office, provider, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tokens").mkdir()
    for arguments in shown("o365"):
        assert "nothing to import" in call(arguments)


@pytest.mark.django_db
def test_a_line(provider, user, elsewhere, monkeypatch):
    monkeypatch.chdir(elsewhere)
    line = json.loads(block(PAGE, "json", "refresh_token"))
    token = line["refresh_token"].replace("…", "x")
    (elsewhere / "mailboxes.jsonl").write_text(json.dumps({**line, "user": user.pk, "refresh_token": token}))
    [arguments] = shown("jsonl", "mailboxes.jsonl")
    assert "imported" in call(arguments)


@pytest.mark.django_db
def test_out_and_in_and_gone(connect, user, elsewhere, monkeypatch):
    monkeypatch.chdir(elsewhere)
    user.username = "ada"
    user.save()
    connect("google")
    sealed, readable = shown("export")
    call(sealed)
    MailCredentials.objects.all().delete()
    assert "imported" in call(shown("mailboxes.sealed.jsonl", "import")[0])
    call(readable)
    assert "  google  revoked" in call(shown("erase")[0])
    assert not MailCredentials.objects.exists()


def test_the_outcomes_are_those_of_the_code():
    told = re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)
    assert set(told) == {outcome.name.lower() for outcome in Outcome}
    well = re.findall(r"^\| `(\w+)` \|.*\| \|$", TEXT, re.MULTILINE)
    assert {name for name in told if name not in well} == {
        outcome.name.lower() for outcome in Outcome if not outcome.is_well
    }


def test_the_names_that_it_says_exist(settings):
    named = set(re.findall(r"`([A-Z][A-Z_]{3,})`", TEXT)) - {
        "SCAN", "GETRANGE", "INFO", "INSTALLED_APPS", "CLIENT_ID", "MAIL_OAUTH_IMPORT_REDIS_URL", "NAME",
    }  # fmt: skip
    assert named <= NAMES.keys()
    for name in "email emailAddress mail address mailbox username user".split():
        assert name in ADDRESS_NAMES
    settings.MAIL_OAUTH = {"PROVIDERS": {"google": {"CLIENT_ID": "x", "CLIENT_SECRET": "y"}}}
    assert Aliases().provider("google-oauth2").alias == "google"
