"""What the page on keys says can be done, as it stands there."""

from __future__ import annotations

import io
import re
import shlex
from pathlib import Path

import pytest
from django.core.management import call_command

from mail_oauth.checks.catalogue import CATALOGUE
from mail_oauth.conf import NAMES
from mail_oauth.encryption import keyring, new_key

TEXT = (Path(__file__).parents[2] / "docs" / "keys.md").read_text()
COMMANDS = re.findall(r"manage\.py (mail_oauth [\w -]+?)(?:`|$)", TEXT, re.MULTILINE)


@pytest.mark.django_db
def test_a_key_is_changed_as_it_says(connect, settings):
    mailbox = connect()
    new = new_key()
    settings.FERNET_KEYS = [*settings.FERNET_KEYS, new]
    settings.FERNET_KEYS = [new, *settings.FERNET_KEYS[:-1]]
    for command in COMMANDS:
        call_command(*shlex.split(command), stdout=io.StringIO(), stderr=io.StringIO())
    settings.FERNET_KEYS = [new]
    mailbox.refresh_from_db()
    assert mailbox.refresh_token.fingerprint == keyring().keys[0].fingerprint
    assert mailbox.get_access_token()


def test_it_shows_each_command_for_keys():
    shown = {command.split()[1] for command in COMMANDS}
    assert shown == {"generate_key", "rotate_keys", "key_status", "bind_values"}


def test_the_settings_and_checks_that_it_names_exist():
    assert set(re.findall(r'MAIL_OAUTH\["(\w+)"\]', TEXT)) <= set(NAMES)
    assert set(re.findall(r"`([EW]\d{3})`", TEXT)) <= set(CATALOGUE)
