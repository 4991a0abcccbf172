"""Every setting, command and example of docs/app-only.md is executed or compared."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess

import pytest
from django.core.checks import run_checks
from django.core.mail import EmailMessage
from django.core.management import call_command

from mail_oauth.checks.app_only import NOTICE
from mail_oauth.checks.catalogue import CATALOGUE
from mail_oauth.exceptions import ConfigurationError
from mail_oauth.models import MailCredentials
from mail_oauth.providers import Provider, provider_for
from mail_oauth.providers.certificates import ALGORITHMS, LIFE_SECONDS
from mail_oauth.providers.google import Google
from mail_oauth.providers.microsoft import Microsoft
from mail_oauth.refresh.classification import AADSTS, REFINEMENTS
from mail_oauth.testing.registrations import ROLES
from tests.app_only.certificates import Certificate
from tests.app_only.conftest import Site, add, site
from tests.documentation.blocks import DOCS, block, blocks, commands
from tests.mailbox.conftest import mail_servers

__all__ = ["add", "site"]

PAGE = DOCS / "app-only.md"
TEXT = PAGE.read_text()
TICKETS = "tickets@contoso.com"


def shown_settings(monkeypatch) -> dict:
    monkeypatch.setenv("CONTOSO_CLIENT_ID", "2f2b1a4c-0c1e-4f7b-9d44-0f2f7d1b9a11")
    names: dict = {"os": os}
    exec(block(PAGE, "python", "PROVIDERS"), names)
    return names["MAIL_OAUTH"]


@pytest.fixture
def works(site: Site, settings, monkeypatch, dovecot):
    """The settings that it shows, with keys that are there, at the fake provider and on Dovecot."""
    certificate = site.certificate("contoso.pem")
    site.provider.register_app(certificates=[certificate.public])
    shown = shown_settings(monkeypatch)["PROVIDERS"]
    places = {
        "contoso": {
            "AUTHORITY": site.options["work"]["AUTHORITY"],
            "CLIENT_ID": site.provider.client_id,
            "CLIENT_CERTIFICATE": str(certificate.path),
            **mail_servers(dovecot),
        },
        "workspace": {"SERVICE_ACCOUNT": str(site.key_file), "TOKEN_URL": site.options["domain"]["TOKEN_URL"]},
    }
    dovecot.trust("microsoft", app=True)
    settings.MAIL_OAUTH = {
        **settings.MAIL_OAUTH,
        "PRIVATE_HOSTS": ["127.0.0.1", dovecot.host],
        "CA_BUNDLE": str(dovecot.ca_file),
        "PROVIDERS": {alias: {**options, **places[alias]} for alias, options in shown.items()},
    }
    return dovecot


def test_the_settings_that_it_shows_are_right(settings, monkeypatch):
    settings.MAIL_OAUTH = shown_settings(monkeypatch)
    assert run_checks(tags=["mail_oauth"]) == []
    assert provider_for("contoso").is_app_only
    assert provider_for("workspace").is_app_only


@pytest.mark.django_db
def test_its_commands_and_its_example_in_their_order(works, tmp_path, monkeypatch):
    (tmp_path / "addresses.txt").write_text("ada@example.com\n")
    monkeypatch.chdir(tmp_path)
    shown = commands(PAGE)
    assert [arguments[1] for arguments in shown] == ["add_mailbox", "add_mailbox", "test_mailbox"]
    for arguments in shown:
        call_command(*arguments, stdout=io.StringIO())
    assert MailCredentials.objects.filter(user=None, access__in=["own", "shared"]).count() == 3
    message = EmailMessage("Hello", "How are you?", TICKETS, ["grace@example.com"])
    exec(block(PAGE, "python", "user=None"), {"MailCredentials": MailCredentials, "message": message})
    assert works.sink.messages[-1].recipients == ("grace@example.com",)


@pytest.mark.django_db
def test_its_list_of_certificates_is_taken(site, add):
    new, former = site.certificate("new.pem"), site.certificate("former.pem")
    site.provider.register_app(certificates=[former.public])
    shown = eval("{" + block(PAGE, "python", "former.pem") + "}")
    here = [path.replace("/run/secrets", str(site.directory)) for path in shown["CLIENT_CERTIFICATE"]]
    assert here == [str(new.path), str(former.path)]
    site.change("work", "CLIENT_SECRET", CLIENT_CERTIFICATE=here)
    site.provider.clear_calls()
    assert add("work", "ada@contoso.example").get_access_token()
    assert [call.error for call in site.provider.token_calls()] == ["invalid_client", None]


def test_the_certificate_that_it_makes_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    [body] = [each for each in blocks(PAGE, "console") if "openssl" in each]
    make, join = body.strip().splitlines()
    subprocess.run(shlex.split(make), check=True, capture_output=True)
    subprocess.run(join, check=True, shell=True)
    options = {"CLIENT_ID": "x", "CLIENT_CERTIFICATE": str(tmp_path / "contoso.pem")}
    [assertion] = Microsoft("contoso", options).client_assertions()
    try:
        assert assertion("https://login.example/token")
    finally:
        for file in tmp_path.iterdir():
            file.unlink()


def test_the_options_of_its_table_exist():
    section = TEXT.partition("## What an app shows")[2].partition("```")[0]
    named = set(re.findall(r"^\| `([A-Z_]+)` ", section, re.MULTILINE))
    assert named
    assert named <= Microsoft.OPTIONS | Google.OPTIONS
    assert (Microsoft.OPTIONS | Google.OPTIONS) - Provider.OPTIONS - named <= {
        "TENANT",
        "CLOUD",
        "AUTHORITY",
        "TESTING",
    }
    assert set(re.findall(r'`"(.S256)"`', section)) == set(ALGORITHMS)


def test_the_codes_and_permissions_that_it_names_are_the_codes():
    assert {int(number) for number in re.findall(r"AADSTS(\d+)", TEXT)} <= set(AADSTS)
    assert set(re.findall(r"`(invalid_grant_\w+)`", TEXT)) <= set(REFINEMENTS["google_app"])
    assert set(re.findall(r"mail_oauth\.([EW]\d{3})", TEXT)) <= set(CATALOGUE)
    assert {role.rpartition("/")[2] for role in ROLES} <= set(re.findall(r"`([A-Za-z]+\.[A-Za-z]+)`", TEXT))


def test_the_numbers_that_it_names():
    assert "five minutes" in TEXT
    assert LIFE_SECONDS == 300
    assert "thirty days" in TEXT
    assert NOTICE.days == 30


def test_the_scopes_that_it_names_are_asked_for(site):
    assert f"`{provider_for('work').app_scope}`" in TEXT
    assert f"`{provider_for('work').resource_scopes('graph')[0]}`" in TEXT
    assert f"`{provider_for('domain').app_scope}`" in TEXT


def test_a_file_that_is_none_is_told_as_it_says(tmp_path):
    made = Certificate(tmp_path / "x.pem")
    made.path.write_text(made.public)
    options = {"CLIENT_ID": "x", "CLIENT_CERTIFICATE": str(made.path)}
    [assertion] = Microsoft("contoso", options).client_assertions()
    with pytest.raises(ConfigurationError, match="private key"):
        assertion("https://login.example/token")
