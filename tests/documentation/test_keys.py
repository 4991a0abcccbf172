"""Every command, setting and name of docs/keys.md is executed or compared."""

from __future__ import annotations

import importlib
import inspect
import io
import os
import re

import pytest
from django.core.management import call_command

from mail_oauth import exceptions
from mail_oauth.checks import keys
from mail_oauth.checks.catalogue import CATALOGUE
from mail_oauth.conf import problems
from mail_oauth.encryption import keyring, new_key
from mail_oauth.exceptions import CredentialsUnreadable, SealError
from mail_oauth.upkeep.keys import key_status
from tests.documentation.blocks import DOCS, blocks, commands

PAGE = DOCS / "keys.md"
TEXT = PAGE.read_text()


@pytest.mark.django_db
def test_the_commands_do_what_the_page_says_of_them(connect, settings):
    """In its order, with the settings of each step."""
    connect()
    old, new = settings.FERNET_KEYS[0], new_key()
    settings.FERNET_KEYS = [old, new]
    settings.FERNET_KEYS = [new, old]
    shown = commands(PAGE)
    assert len(shown) == 8
    for arguments in shown:
        call_command(*arguments, stdout=io.StringIO(), stderr=io.StringIO())
    assert {use.key for use in key_status().uses if use.values} == {keyring().keys[0].fingerprint}
    settings.FERNET_KEYS = [new]
    call_command("check", "--database", "default", stdout=io.StringIO(), stderr=io.StringIO())


def test_the_settings_that_it_shows_are_right(monkeypatch, settings):
    monkeypatch.setenv("MAIL_OAUTH_KEY", "a key")
    for body in blocks(PAGE, "python"):
        if not body.startswith(("MAIL_OAUTH", "FERNET_KEYS")):
            continue
        names: dict = {"os": os}
        exec(body, names)
        assert problems(names.get("MAIL_OAUTH", {})) == []
        settings.FERNET_KEYS = names.get("FERNET_KEYS", [])
        assert settings.FERNET_KEYS in ([], ["a key"])


def test_the_model_of_ones_own():
    [body] = [body for body in blocks(PAGE, "python") if "SealedField" in body]
    exec(body, {"__name__": "documentation"})


@pytest.mark.django_db
def test_the_error_that_it_quotes(connect, settings):
    mailbox = connect(seconds_left=-10)
    key = keyring().keys[0].fingerprint
    settings.FERNET_KEYS = [new_key()]
    with pytest.raises(CredentialsUnreadable) as raised:
        mailbox.get_access_token()
    quoted = re.search(r"^> (.*)$", TEXT, re.MULTILINE)[1]
    assert re.sub(r"[0-9a-f]{16}", key, quoted) in str(raised.value)


def test_the_reasons_are_those_of_the_exceptions():
    codes = {
        each.code for each in vars(exceptions).values() if isinstance(each, type) and issubclass(each, SealError)
    }
    assert set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)) == codes - {SealError.code}


def test_the_checks_exist_and_none_about_keys_is_left_out():
    shown = set(re.findall(r"^\| `mail_oauth\.([EW]\d+)` \|", TEXT, re.MULTILINE))
    of_keys = set(re.findall(r'"([EW]\d{3})"', inspect.getsource(keys))) | {"E009"}
    assert shown == of_keys <= set(CATALOGUE)


def test_the_names_exist():
    for module, name in re.findall(r"`(mail_oauth(?:\.\w+)+)\.(\w+)`", TEXT):
        assert hasattr(importlib.import_module(module), name), f"{module}.{name}"
