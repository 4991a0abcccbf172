"""Mailboxes of the fake provider whose mail is on a Dovecot."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from mail_oauth.tokens import MailServer
from tests.services.dovecot_files import SCOPES

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
