"""Every step, setting and sentence of docs/client-secrets.md is executed or compared."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command

from mail_oauth.refresh.asking import FIRST_AGAIN_SECONDS
from mail_oauth.upkeep.doctor.mailhosts import BY_PROTOCOL
from tests.documentation.blocks import DOCS, block, commands

PAGE = DOCS / "client-secrets.md"
QUOTED = [" ".join(text.split()) for text in re.findall(r"^ *> (.*)$", PAGE.read_text(), re.MULTILINE)]
FORMER, NEW = "the-former-secret-at-the-provider", "the-new-secret-at-the-provider"


@pytest.fixture
def site(settings: Any, provider: Any) -> Any:
    """`site(alias, *secrets)`: one provider, with these secrets."""
    given = settings.MAIL_OAUTH["PROVIDERS"]

    def write(alias: str, *secrets: str) -> None:
        options = {**given[alias], **dict.fromkeys(BY_PROTOCOL), "CLIENT_SECRET": list(secrets)}
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROVIDERS": {alias: options}}

    yield write
    provider.add_client(provider.client_id, provider.client_secret)


def doctor() -> str:
    """What it says, whatever else it finds of a provider on loopback."""
    out = io.StringIO()
    [arguments] = commands(PAGE)
    with contextlib.suppress(CommandError):
        call_command(*arguments, "--provider", "google", stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_the_settings_that_it_shows_are_right(settings, monkeypatch):
    for name in ("ID", "SECRET", "SECRET_OLD"):
        monkeypatch.setenv(f"MICROSOFT_CLIENT_{name}", f"value of the {name}")
    names: dict[str, Any] = {"os": os}
    exec(block(PAGE, "python", "_OLD"), names)
    settings.MAIL_OAUTH = names["MAIL_OAUTH"]
    assert run_checks(tags=["mail_oauth"]) == []


@pytest.mark.django_db
def test_its_steps_in_their_order(site, provider, connect):
    site("google", FORMER)
    provider.add_client(provider.client_id, FORMER)
    mailbox = connect("google")
    site("google", NEW, FORMER)
    assert mailbox.refresh_now(), "the new one is not in force"
    provider.add_client(provider.client_id, NEW)
    assert mailbox.refresh_now()
    assert QUOTED[0] in doctor()
    site("google", NEW)
    assert mailbox.refresh_now()
    assert "The client is accepted" in doctor()
    assert not mailbox.events.filter(kind="refresh_failed").exists()


@pytest.mark.django_db
def test_the_line_of_the_log_that_it_quotes(site, provider, connect, caplog):
    site("microsoft", NEW, FORMER)
    provider.add_client(provider.client_id, FORMER)
    mailbox = connect("microsoft")
    with caplog.at_level(logging.WARNING, "mail_oauth"):
        assert mailbox.refresh_now()
        assert mailbox.refresh_now()
    assert [record.getMessage() for record in caplog.records] == QUOTED[1:]


def test_how_often_the_first_is_tried_again():
    assert "Once an hour" in PAGE.read_text()
    assert FIRST_AGAIN_SECONDS == 3600
