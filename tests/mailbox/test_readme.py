"""What the README shows of `test_mailbox` is what it says."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from mail_oauth.models import MailCredentials
from mail_oauth.tokens import MailServer
from tests.documentation.blocks import README, block
from tests.mailbox.conftest import mail_servers
from tests.mailbox.scripted import ScriptedServer, pop, saying
from tests.services import Dovecot
from tests.transport.certificates import Authority


def worn(line: str) -> str:
    """A line without the names of its hosts, its figures, and the width of its columns."""
    line = re.sub(r"\b(?:imap|pop|smtp)\.gmail\.com\b|\blocalhost\b|\b127\.0\.0\.1\b", "HOST", line)
    return " ".join(re.sub(r"\d+", "N", line).split())


@pytest.fixture
def ada(
    settings: Any, dovecot: Dovecot, authority: Authority, tmp_path: Path, connect: Callable[..., MailCredentials]
) -> Any:
    """A mailbox of Google's, with folders and mail, for which POP is switched off."""
    dovecot.trust("google")
    bundle = tmp_path / "authorities.pem"
    bundle.write_bytes(dovecot.ca_file.read_bytes() + authority.bundle.read_bytes())
    refusing = pop(saying("pop", "-ERR [SYS/PERM] Your account is not enabled for POP access."))
    with ScriptedServer(refusing, authority.context()) as server:
        before = settings.MAIL_OAUTH
        google = {
            **before["PROVIDERS"]["google"],
            **mail_servers(dovecot),
            "POP": MailServer(host="127.0.0.1", port=server.port),
        }
        settings.MAIL_OAUTH = {
            **before,
            "PRIVATE_HOSTS": ["127.0.0.1", dovecot.host],
            "CA_BUNDLE": str(bundle),
            "PROVIDERS": {"google": google},
        }
        mailbox = connect("google", email="ada@example.com")
        with mailbox.imap() as client:
            for folder in ("Sent", "Drafts"):
                client.create(folder)
        for _ in range(2):
            dovecot.deliver(mailbox.email, b"Subject: hello\r\n\r\nHow are you?\r\n")
        yield mailbox


@pytest.mark.django_db
def test_the_output_that_it_shows(ada):
    out = io.StringIO()
    command, *shown = block(README, "console", "mail_oauth test_mailbox").splitlines()
    with pytest.raises(CommandError) as failed:
        call_command(*command.removeprefix("$ python manage.py ").split(), stdout=out)
    said = [*out.getvalue().splitlines(), f"CommandError: {failed.value}"]
    assert list(map(worn, said)) == list(map(worn, shown))
