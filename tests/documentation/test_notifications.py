"""Every setting, command, signal and template of docs/notifications.md is executed or compared."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.template.loader import get_template

from mail_oauth.conf import NAMES
from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.signals import user_notified
from tests.documentation.blocks import DOCS, block, blocks, commands
from tests.losses.passing import pass_time
from tests.notifications.conftest import AFTER, fall, later, mail_by, notify, owner

__all__ = ["fall", "later", "mail_by", "notify", "owner"]

PAGE = DOCS / "notifications.md"
TEXT = PAGE.read_text()
SHOWN = [body for body in blocks(PAGE, "python") if body.startswith("MAIL_OAUTH")]


@pytest.mark.parametrize("body", SHOWN)
def test_the_settings_pass_every_check(settings, mail_by, body):
    names: dict = {}
    exec(body, names)
    settings.MAIL_OAUTH = names["MAIL_OAUTH"]
    mail_by("django.core.mail.backends.smtp.EmailBackend")
    said = run_checks(tags=["mail_oauth"], include_deployment_checks=True)
    ours = [each for each in said if each.id in {f"mail_oauth.{n}" for n in ("E001", *NOTICES)}]
    assert ours == []


NOTICES = ("E040", "E041", "E042", "E043", "W040", "W041", "W042", "W043")


@pytest.mark.django_db
def test_the_command(notify, connect, owner, fall, mailoutbox):
    [arguments] = commands(PAGE)
    fall(connect(owner=owner))
    pass_time(AFTER)
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    assert re.search(r"^mailed +1$", out.getvalue(), re.MULTILINE)
    assert len(mailoutbox) == 1
    notify("")
    call_command(*arguments, stdout=out)
    assert "Notices are off" in out.getvalue()


@pytest.mark.django_db
def test_the_receiver(notify, connect, owner, fall, later):
    told: list = []
    names: dict = {"post_to_chat": lambda user, text: told.append((user, text))}
    exec(block(PAGE, "python", "user_notified"), names)
    try:
        fall(connect(email="ada@example.com", owner=owner))
        later()
    finally:
        user_notified.disconnect(names["tell_in_chat"])
    assert told == [(owner, "ada@example.com: please look at /mail/")]


def test_the_functions():
    names: dict = {}
    exec(block(PAGE, "python", "def language_of"), names)
    profile = SimpleNamespace(language="de", private_address="")
    user = SimpleNamespace(profile=profile, email="ada@home.example")
    assert (names["language_of"](user), names["address_of"](user)) == ("de", "ada@home.example")


def test_the_names_exist():
    settings = set(re.findall(r"`(NOTIFY\w*)`", TEXT)) | set(re.findall(r'"(NOTIFY\w*)"', TEXT))
    assert settings == {name for name in NAMES if name.startswith("NOTIFY")}
    assert {"BACKOFF_CAP", "CIRCUIT_WINDOW"} <= set(NAMES)
    assert {"needs_reauth", "needs_admin"} <= set(Status.values)
    assert f"({EventKind.USER_TOLD.label!s})".strip("()") in TEXT


def test_the_templates_exist():
    names = set(re.findall(r"`(needs_subject\.txt|needs\.txt|needs\.html)`", TEXT))
    assert len(names) == 3
    for name in names:
        for mail in ("needs", "works", "digest"):
            assert get_template(f"mail_oauth/mail/{name.replace('needs', mail)}")
