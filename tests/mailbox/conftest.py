"""Mailboxes of the fake provider whose mail is on a Dovecot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mail_oauth.tokens import MailServer
from tests.mailbox.scripted import ScriptedServer, Talk
from tests.services.dovecot_files import SCOPES
from tests.transport.certificates import Authority

if TYPE_CHECKING:
    from pytest_django import Settings

    from mail_oauth.models import MailCredentials
    from tests.services import Dovecot


EVERY_SCOPE = ["openid", "profile", "email", "offline_access", *SCOPES["microsoft"].values()]
"""What opens all three protocols."""


def mail_servers(dovecot: Dovecot, *, starttls: bool = False, host: str = "") -> dict[str, MailServer]:
    """The options of a provider whose mail is there."""
    ports = {
        "IMAP": (dovecot.imaps_port, dovecot.imap_port),
        "POP": (dovecot.pop3s_port, dovecot.pop3_port),
        "SMTP": (dovecot.submissions_port, dovecot.submission_port),
    }
    security = "starttls" if starttls else "tls"
    return {
        name: MailServer(host=host or dovecot.host, port=both[starttls], security=security)
        for name, both in ports.items()
    }


@pytest.fixture
def site(provider: Any, dovecot: Dovecot, settings: Settings) -> Callable[..., None]:
    """Settings by which Microsoft's mail is on Dovecot; `site(OPTION=…)` changes its options, and with `ours` others."""

    def configure(
        *, starttls: bool = False, host: str = "", ours: dict[str, Any] | None = None, **options: Any
    ) -> None:
        before = settings.MAIL_OAUTH
        microsoft = {
            **before["PROVIDERS"]["microsoft"],
            "SCOPES": EVERY_SCOPE,
            **mail_servers(dovecot, starttls=starttls, host=host),
            **options,
        }
        settings.MAIL_OAUTH = {
            **before,
            "PRIVATE_HOSTS": ["127.0.0.1", dovecot.host, dovecot.wrong_host, dovecot.far_host],
            "CA_BUNDLE": str(dovecot.ca_file),
            "PROVIDERS": {**before["PROVIDERS"], "microsoft": microsoft},
            **(ours or {}),
        }

    configure()
    return configure


@pytest.fixture
def mailbox(site: Callable[..., None], connect: Callable[..., MailCredentials]) -> MailCredentials:
    """A mailbox of Microsoft's, connected with every scope."""
    return connect()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(Path(tmp_path_factory.mktemp("certificates")))


@pytest.fixture
def serve(provider: Any, settings: Settings, authority: Authority) -> Iterator[Callable[..., ScriptedServer]]:
    """Have Microsoft's mail served by a conversation, for a protocol, with or without TLS from the first byte.

    A sign-in is given up after `seconds`.
    """
    with ExitStack() as running:

        def start(protocol: str, talk: Talk, *, tls: bool = True, seconds: float = 10) -> ScriptedServer:
            server = running.enter_context(ScriptedServer(talk, authority.context() if tls else None))
            before = settings.MAIL_OAUTH
            place = MailServer(host="127.0.0.1", port=server.port, security="tls" if tls else "starttls")
            microsoft = {**before["PROVIDERS"]["microsoft"], "SCOPES": EVERY_SCOPE, protocol.upper(): place}
            settings.MAIL_OAUTH = {
                **before,
                "CA_BUNDLE": str(authority.bundle),
                "TOTAL_TIMEOUT": seconds,
                "READ_TIMEOUT": seconds,
                "PROVIDERS": {**before["PROVIDERS"], "microsoft": microsoft},
            }
            return server

        yield start
