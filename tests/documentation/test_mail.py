"""Every example, reason and setting of docs/mail.md, and the README's own example, is executed or compared."""

from __future__ import annotations

import re

import django
import pytest
from django.core.checks import run_checks
from django.core.mail import EmailMessage
from django.utils.module_loading import import_string

from mail_oauth import exceptions
from mail_oauth.conf import NAMES, problems
from mail_oauth.exceptions import SignInRefused
from mail_oauth.mailbox.refusals import Fault
from mail_oauth.providers import Provider
from tests.documentation.blocks import DOCS, README, block, blocks
from tests.mailbox.conftest import mailbox, site

__all__ = ["mailbox", "site"]

PAGE = DOCS / "mail.md"
TEXT = PAGE.read_text()
OF_A_SHARED_ONE = 'user="team@example.com"'

EXAMPLES = [body for body in blocks(PAGE, "python") if "mailbox." in body]
ELSEWHERE = (OF_A_SHARED_ONE, 'resource="graph"')


@pytest.mark.django_db
@pytest.mark.parametrize("body", [body for body in EXAMPLES if not any(words in body for words in ELSEWHERE)])
def test_each_example_does_what_it_says(dovecot, mailbox, body):
    dovecot.deliver(mailbox.email, b"Subject: hello\r\n\r\nHow are you?\r\n")
    names: dict = {"mailbox": mailbox}
    exec(body, names)
    if "unseen" in body.lower():
        assert names["numbers"] == b"1"
        assert names["count"] == 1
        assert len(dovecot.sink.messages) == 1
    if "newest" in body:
        assert names["newest"] == [1]
    if "EmailMessage" in body:
        assert dovecot.sink.messages[0].recipients == ("grace@example.com",)


@pytest.mark.django_db
def test_a_shared_mailbox_is_asked_for_by_its_own_name(mailbox):
    """Here nobody may open another's, and so the error names it."""
    with pytest.raises(SignInRefused, match=r"team@example\.com"):
        exec(block(PAGE, "python", OF_A_SHARED_ONE), {"mailbox": mailbox})


@pytest.mark.django_db
def test_a_token_for_another_resource(provider, settings, connect):
    names: dict = {}
    exec(block(PAGE, "python", '"RESOURCES"'), names)
    [shown] = names["MAIL_OAUTH"]["PROVIDERS"].values()
    ours = settings.MAIL_OAUTH
    shown = {**shown, **ours["PROVIDERS"]["microsoft"]}
    settings.MAIL_OAUTH = {**ours, "PROVIDERS": {**ours["PROVIDERS"], "microsoft": shown}}
    names["mailbox"] = connect()
    exec(block(PAGE, "python", 'resource="graph"'), names)
    [scope] = shown["RESOURCES"]["graph"]
    assert provider.is_valid_access_token(names["token"].reveal(), scope=scope)


@pytest.mark.django_db
def test_the_readmes_example(dovecot, mailbox):
    exec(block(README, "python", "mailbox.imap()"), {"mailbox": mailbox})
    assert len(dovecot.sink.messages) == 1


def test_the_settings_are_right(settings):
    names: dict = {}
    exec(block(PAGE, "python", "MailServer("), names)
    assert problems(names["MAIL_OAUTH"]) == []
    settings.MAIL_OAUTH = names["MAIL_OAUTH"]
    assert [each for each in run_checks(tags=["mail_oauth"]) if each.level >= 40] == []


def test_the_backend_is_there(settings):
    names: dict = {}
    exec(block(PAGE, "python", "EMAIL_BACKEND ="), names)
    exec(block(PAGE, "python", "MAILERS ="), names)
    mailer = names["MAILERS"]["default"]
    assert names["EMAIL_BACKEND"] == mailer["BACKEND"]
    backend = import_string(names["EMAIL_BACKEND"])(alias="default", **mailer["OPTIONS"])
    assert backend.send_messages([EmailMessage(to=[])]) == 0
    assert names["EMAIL_BACKEND"] in README.read_text()
    assert "Django 6.1" in TEXT or django.VERSION < (6, 1)


def test_the_reasons_are_those_of_the_errors():
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", TEXT, re.MULTILINE)
    told: dict[str, set[str]] = {}
    for error, reason in rows:
        told.setdefault(error, set()).add(reason)
    faults = {fault.value for fault in Fault}
    assert told["SignInRefused"] == faults - {Fault.UNAVAILABLE.value}
    assert told["MailServerUnavailable"] >= {Fault.UNAVAILABLE.value, "timeout", "tls", "connection"}
    for error, reasons in told.items():
        described = getattr(exceptions, error).__doc__
        assert {reason for reason in reasons if f'"{reason}"' not in described} == set()


def test_the_settings_that_it_names_exist():
    named = set(re.findall(r"`([A-Z][A-Z_]{3,})`", TEXT)) - {"EMAIL_BACKEND", "MAILERS", "IMAP", "SMTP", "QUIT"}
    assert named - {"RESOURCES", "SENDING"} <= NAMES.keys()
    assert {"RESOURCES", "SENDING"} <= Provider.OPTIONS
