"""Every command and setting of the README is executed or compared."""

from __future__ import annotations

import io
import logging
import logging.config
import os
import re

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.template import Context, Template
from django.test import RequestFactory
from django.utils.module_loading import import_string
from django.views.debug import ExceptionReporter

from mail_oauth.choices import Policy
from mail_oauth.managers.budget import calls_per_second
from mail_oauth.managers.keeping import policy_of_provider
from tests.documentation.blocks import README, ROOT, block, commands
from tests.documentation.tables import TABLES, between_markers

TEXT = README.read_text()


def settings_of(words: str) -> dict:
    """The settings that a block shows, with something in the place of each `…`."""
    names: dict = {"os": os, "INSTALLED_APPS": ["django.contrib.auth"]}
    exec(block(README, "python", words).replace("…", "given-by-the-provider"), names)
    return names


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_are_the_codes(name):
    document, table = TABLES[name]
    assert between_markers(document.read_text(), name) == table(), "Run: python -m tests.documentation.tables"


@pytest.mark.parametrize("name", [name for name in TABLES if name != "api"])
def test_each_row_of_a_table_has_as_many_cells_as_its_head(name):
    document, _ = TABLES[name]
    rows = [row for row in between_markers(document.read_text(), name).splitlines() if row.startswith("|")]
    cells = {row: re.split(r"(?<!\\)\|", row) for row in rows}
    assert len(rows) > 2
    assert [row for row in rows if len(cells[row]) != len(cells[rows[0]])] == []


def test_the_settings_that_it_shows_pass_every_check(settings, monkeypatch):
    for name in ("MICROSOFT_CLIENT_ID", "MICROSOFT_CLIENT_SECRET", "MAIL_OAUTH_KEY", "REDIS_URL"):
        monkeypatch.setenv(name, "redis://127.0.0.1:1/0")
    names = settings_of("INSTALLED_APPS +=")
    assert "mail_oauth" in names["INSTALLED_APPS"]
    settings.ALLOWED_HOSTS = ["your.site"]
    settings.INSTALLED_APPS = [app for app in settings.INSTALLED_APPS if app != "mail_oauth.testing"]
    for name in ("MAIL_OAUTH", "FERNET_KEYS", "CACHES"):
        setattr(settings, name, names[name])
    assert run_checks(tags=["mail_oauth"], include_deployment_checks=True) == []


def test_the_providers_that_it_shows_are_right(settings):
    settings.MAIL_OAUTH = settings_of('"contoso"')["MAIL_OAUTH"]
    assert run_checks(tags=["mail_oauth"]) == []


def test_the_settings_of_a_million_are_right(settings):
    settings.MAIL_OAUTH = settings_of('"CALLS_PER_SECOND"')["MAIL_OAUTH"]
    assert run_checks(tags=["mail_oauth"]) == []
    assert calls_per_second("google") == 300


def test_the_policies_that_it_shows_are_right(settings):
    settings.MAIL_OAUTH = settings_of('"REFRESH_POLICY"')["MAIL_OAUTH"]
    assert run_checks(tags=["mail_oauth"]) == []
    assert policy_of_provider("google") is Policy.ALWAYS
    assert policy_of_provider("another") is Policy.RECENTLY_USED


def test_the_urls_and_the_schedule():
    from celery import Celery
    from django.urls import include, path

    names = {"path": path, "include": include, "urlpatterns": []}
    exec(block(README, "python", "urlpatterns +="), names)
    assert names["urlpatterns"]
    app = Celery("documentation", set_as_current=False)
    exec(block(README, "python", "beat_schedule |="), {"app": app})
    shown = re.findall(r"^\| `(\w+)` \| (?:60 s|10 min|5 min|night) \|", TEXT, re.MULTILINE)
    assert {f"mail_oauth.tasks.{name}" for name in shown} == {
        entry["task"] for entry in app.conf.beat_schedule.values()
    }


@pytest.mark.django_db
def test_the_button(user, provider):
    request = RequestFactory().get("/")
    request.user = user
    html = Template(block(README, "django", "connect_mailbox_button")).render(Context({"request": request}))
    assert 'action="/mail/connect/microsoft/"' in html
    assert "csrfmiddlewaretoken" in html


@pytest.mark.django_db
def test_the_five_lines(user, connect, rf, provider):
    connect(email="ada@example.com")
    request = rf.get("/")
    request.user = user
    names = {"request": request}
    exec(block(README, "python", "get_access_token(mailbox.pk)"), names)
    kind, token = names["headers"]["Authorization"].split()
    assert kind == "Bearer"
    assert provider.is_valid_access_token(token)


def test_the_logging_hides_secrets(capsys):
    given: dict = {}
    exec(block(README, "python", "no_secrets"), given)
    before = logging.root.handlers[:], logging.root.level
    logging.config.dictConfig(given["LOGGING"])
    try:
        logging.getLogger("readers_site").info("POST %s", {"refresh_token": "a-token-in-the-open"})
    finally:
        logging.root.handlers[:], logging.root.level = before
    assert "'refresh_token': '[hidden]'" in capsys.readouterr().err
    assert issubclass(import_string(given["DEFAULT_EXCEPTION_REPORTER"]), ExceptionReporter)


def test_the_exceptions_exist():
    from mail_oauth import exceptions

    for name in re.findall(
        r"^\| `([A-Z]\w+)` \|", TEXT.split("## Use it")[1].split("## Settings")[0], re.MULTILINE
    ):
        assert issubclass(getattr(exceptions, name), exceptions.MailboxError)


@pytest.mark.django_db
def test_the_commands(connect, provider):
    connect(email="ada@example.com")
    shown = [arguments for arguments in commands(README) if arguments[0] == "mail_oauth"]
    assert len(shown) == 10
    for arguments in shown:
        call_command(*arguments, stdout=io.StringIO())


def test_the_provider_for_tests(capsys):
    names: dict = {}
    exec(block(README, "python", "import FakeProvider"), names)
    assert "/microsoft/" in capsys.readouterr().out
    pytest.importorskip("aiosmtpd", reason="aiosmtpd is not installed")
    exec(block(README, "python", "import MailServers"), names)
    assert capsys.readouterr().out.endswith(" []\n")


def test_the_make_targets_and_the_pictures_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", TEXT, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", TEXT):
        assert (ROOT / picture).is_file(), picture
