"""Every command, id and name in the prose of docs/checks.md is executed or compared."""

from __future__ import annotations

import io
import re

import pytest
from django.core.management import CommandError, call_command

from mail_oauth.beat import mail_oauth_beat_schedule
from mail_oauth.checks.catalogue import CATALOGUE
from mail_oauth.management.doctor import as_data
from mail_oauth.upkeep.doctor import PROBES, examine
from tests.documentation.blocks import DOCS, commands

PAGE = DOCS / "checks.md"
PROSE = re.sub(r"<!-- (\w+) -->.*?<!-- /\1 -->", "", PAGE.read_text(), flags=re.DOTALL)
INLINE = sorted({" ".join(line.split()) for line in re.findall(r"`manage\.py ([^`]*)`", PROSE)})
SHOWN = [" ".join(arguments) for arguments in commands(PAGE)]


@pytest.fixture
def site(settings, provider):
    """Mail hosts that nobody asks."""
    google = settings.MAIL_OAUTH["PROVIDERS"]["google"]
    without = {**google, **dict.fromkeys(("IMAP", "POP", "SMTP"))}
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROVIDERS": {"google": without}}
    return provider


def test_there_are_commands_in_it():
    assert len(SHOWN) == 4
    assert {"check", "check --deploy", "check --database default", "mail_oauth doctor"} <= set(INLINE)


def said_by(line: str) -> str:
    """What a command says, also if what it finds makes its exit code 1."""
    out, error = io.StringIO(), io.StringIO()
    try:
        call_command(*line.split(), stdout=out, stderr=error)
    except CommandError as failed:
        error.write(str(failed))
    return out.getvalue() + error.getvalue()


@pytest.mark.django_db
@pytest.mark.parametrize("line", sorted({*SHOWN, *INLINE}))
def test_the_commands_do_as_the_page_says(site, line):
    site.clear_calls()
    said = said_by(line)
    assert bool(site.calls) is ("--live" in line), "who asks providers, and who does not"
    if "doctor" not in line:
        assert "System check identified" in said
        return
    assert "mail_oauth.E046" in said, "all checks are run"
    assert "database.reachable" in said, "and then what runs is looked at"
    assert ('"schema": 1' in said) is ("--json" in line)


def test_of_the_network_check_asks_for_keys_only_and_only_where_a_callable_is_to_be_asked(settings):
    asked = []
    [key], settings.FERNET_KEYS = settings.FERNET_KEYS, []
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "KEYS": lambda: asked.append(True) or [key]}
    call_command("check", stdout=io.StringIO(), stderr=io.StringIO())
    assert asked


@pytest.mark.django_db
def test_of_the_providers_only_one_is_looked_at(site, settings):
    providers = settings.MAIL_OAUTH["PROVIDERS"]
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROVIDERS": {**providers, "other": {**providers["google"], "CLASS": "google"}}}  # fmt: skip
    found = examine(live=True, provider="google").findings
    assert {each.subject for each in found if each.id.startswith("provider.")} == {"google"}
    assert {"database.reachable", "mailboxes.overdue", "cache.roundtrip"} <= {each.id for each in found}


def test_the_ids_exist():
    ids = {probe.id for probe in PROBES}
    named = set(re.findall(rf"`((?:{'|'.join({each.partition('.')[0] for each in ids})})\.\w+)`", PROSE))
    assert named
    assert named <= ids
    assert {"E010", "W011"} <= set(re.findall(r"mail_oauth\.([EW]\d{3})", PROSE)) <= set(CATALOGUE)


@pytest.mark.django_db
def test_the_json_has_the_members_that_it_shows(provider):
    section = PROSE.partition("### JSON")[2]
    data = as_data(examine())
    members = {*data, *data["numbers"], *data["findings"][0]}
    shown = set(re.findall(r'"(\w+)":', section))
    assert shown == members - {"skipped", "warning", "error"}, "of the levels it shows one"
    assert set(data["numbers"]) == set(re.search(r"Levels are\n(.*?)\.", section)[1].replace("`", "").split(", "))


def test_the_schedule_that_it_shows():
    [call] = re.findall(r"`(mail_oauth_beat_schedule\(.*?\))`", PROSE)
    assert eval(call, {"mail_oauth_beat_schedule": mail_oauth_beat_schedule})
