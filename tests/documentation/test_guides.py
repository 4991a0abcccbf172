"""Every setting, command, permission and address in the guides is executed or compared."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from celery import Celery
from celery.bin.celery import celery as celery_program
from django.core.checks import run_checks
from django.core.management import load_command_class
from django.urls import resolve

from mail_oauth.checks.catalogue import CATALOGUE
from mail_oauth.conf import NAMES
from mail_oauth.providers import Provider, all_providers
from mail_oauth.providers.google import Google
from mail_oauth.providers.microsoft import Microsoft
from mail_oauth.providers.registry import BUILT_IN, provider_class
from mail_oauth.providers.yahoo import Yahoo
from tests.documentation.blocks import DOCS, block, blocks, commands

GUIDES = [
    DOCS / f"{name}.md"
    for name in "microsoft google yahoo keycloak celery redis databases tenants upgrading providers".split()
]
SETTINGS = [
    pytest.param(page, body, id=page.stem)
    for page in GUIDES
    for body in blocks(page, "python")
    if "MAIL_OAUTH =" in body
]


def names_of(body: str, monkeypatch: pytest.MonkeyPatch) -> dict:
    """What a block defines, where each variable of the environment is set."""
    for name in re.findall(r'os\.environ\["(\w+)"\]', body):
        monkeypatch.setenv(name, "given-by-the-provider")
    names: dict = {"os": os, "BASE_DIR": Path("/srv/site")}
    exec(body, names)
    return names


@pytest.mark.parametrize(("page", "body"), SETTINGS)
def test_the_settings_pass_every_check(page, body, settings, monkeypatch):
    settings.MAIL_OAUTH = names_of(body, monkeypatch)["MAIL_OAUTH"]
    assert run_checks(tags=["mail_oauth"]) == []
    assert all_providers()


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_the_commands_are_commands(page):
    for arguments in commands(page):
        if arguments[0] == "mail_oauth":
            parser = load_command_class("mail_oauth", "mail_oauth").create_parser("manage.py", "mail_oauth")
            parser.parse_args(arguments[1:])
        else:
            assert arguments in (["migrate"], ["check", "--deploy"])


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_each_redirect_uri_leads_to_the_callback(page):
    text = page.read_text()
    for uri in re.findall(r"`(https://your\.site/\S+?)`", text):
        found = resolve(urlsplit(uri).path)
        assert found.view_name == "mail_oauth:callback"
        assert f'"{found.kwargs["alias"]}": {{' in text, "its alias is in the settings that the page shows"


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_the_checks_and_the_names_exist(page):
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for check in re.findall(r"`mail_oauth\.([EW]\d+)`", text):
        assert check in CATALOGUE
    options = set(Provider.OPTIONS).union(*(provider_class(name, {}).OPTIONS for name in BUILT_IN))
    used = {name for name in re.findall(r'`"?([A-Z][A-Z_]{3,})\b"?', text) if not name.startswith("AADSTS")}
    assert used - set(NAMES) - options <= {"CACHES", "KEY_FUNCTION", "KEY_PREFIX"}


def test_the_permissions_at_microsoft_are_what_is_asked_for():
    shown = set(
        re.findall(
            r"`([\w.]+)`", re.findall(r"Delegated permissions\*:\n\n(.*?)\n\n", TEXTS["microsoft"], re.DOTALL)[0]
        )
    )
    asked = {scope.rpartition("/")[2] for scope in Microsoft.scopes}
    assert asked <= shown
    assert shown - asked <= {"POP.AccessAsUser.All", "Mail.Send", "SCOPES", "SENDING"}


def test_the_scopes_at_google_and_yahoo_are_what_is_asked_for():
    assert all(f"`{scope}`" in TEXTS["google"] for scope in Google.scopes)
    assert "`mail-w`" in TEXTS["yahoo"]
    assert "mail-w" in Yahoo.scopes
    assert not Yahoo.uses_pkce


def test_testing_at_google_is_an_end_that_use_does_not_move(settings, monkeypatch):
    from datetime import UTC, datetime, timedelta

    settings.MAIL_OAUTH = names_of(block(DOCS / "google.md", "python", "TESTING"), monkeypatch)["MAIL_OAUTH"]
    [google] = all_providers()
    consent = datetime(2026, 1, 1, tzinfo=UTC)
    assert google.grant_ends_at(consent, consent + timedelta(days=5)) == consent + timedelta(days=7)


def test_the_schedule():
    app = Celery("documentation", set_as_current=False)
    exec(block(DOCS / "celery.md", "python", "beat_schedule"), {"app": app})
    assert len(app.conf.beat_schedule) == 5


def test_the_programs_of_celery():
    [shown] = [body for body in blocks(DOCS / "celery.md", "console") if body.startswith("celery")]
    for line in shown.splitlines():
        _, _, _, name, *options = line.split()
        known = {option for each in celery_program.commands[name].params for option in each.opts}
        assert {option for option in options if option.startswith("-")} <= known


def test_the_cache_and_the_database(monkeypatch):
    cache = names_of(block(DOCS / "redis.md", "python", "CACHES"), monkeypatch)["CACHES"]["default"]
    assert cache["BACKEND"] == "django_redis.cache.RedisCache"
    database = names_of(block(DOCS / "databases.md", "python", "DATABASES"), monkeypatch)["DATABASES"]["default"]
    assert database["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


def test_the_class_of_your_own(settings):
    names: dict = {"__name__": __name__}
    exec(block(DOCS / "providers.md", "python", "class Zoho"), names)
    own = names["Zoho"]("zoho", {"CLIENT_ID": "id", "CLIENT_SECRET": "secret"})
    assert own.setting("IMAP").host == "imap.zoho.eu"
    assert own.error_family == "zoho"
    assert own.endpoint_problems() == []


TEXTS = {page.stem: page.read_text() for page in GUIDES}
