"""`doctor --live` greets mail hosts over real TLS, hears whether they take tokens, and signs nobody in."""

from __future__ import annotations

from typing import Any

import pytest

from mail_oauth.tokens import MailServer as Address
from mail_oauth.upkeep.doctor import examination
from tests.doctor.mailserver import MailServer
from tests.services import free_port

pytestmark = pytest.mark.django_db

PROTOCOLS = {"IMAP": "mail.imap", "POP": "mail.pop", "SMTP": "mail.smtp"}


@pytest.fixture
def tls(authority):
    return authority.context(days=90)


@pytest.fixture
def ask(doctor, provider, settings, authority):
    """What is found of one mail host."""

    def run(protocol: str, port: int, *, security: str = "tls", **ours: Any) -> dict[str, Any]:
        base = settings.MAIL_OAUTH
        options = {**base["PROVIDERS"]["plain"], "IMAP": None, "POP": None, "SMTP": None}
        options[protocol] = Address(host="127.0.0.1", port=port, security=security)
        settings.MAIL_OAUTH = {
            **base,
            "CA_BUNDLE": str(authority.bundle),
            "PROVIDERS": {**base["PROVIDERS"], "plain": options},
            **ours,
        }
        return doctor("--live", "--provider", "plain").of(PROTOCOLS[protocol], f"127.0.0.1:{port}")

    return run


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_a_host_that_is_well(ask, tls, protocol, security):
    with MailServer(protocol, tls, starttls=security == "starttls") as server:
        found = ask(protocol, server.port, security=security)
    assert found["level"] == "ok", found
    assert found["what"] == "It takes tokens by XOAUTH2 and OAUTHBEARER; certificate valid for 90 days."
    assert not any(word.upper().startswith(("AUTH", "USER", "PASS")) for word in server.heard)
    assert not any("AUTHENTICATE" in line or "LOGIN" in line for line in server.heard)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_host_that_takes_passwords_alone(ask, tls, protocol):
    with MailServer(protocol, tls, mechanisms=("PLAIN",)) as server:
        found = ask(protocol, server.port)
    assert (found["level"], "takes no token" in found["what"]) == ("warning", True)
    assert "PLAIN" in found["what"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_certificate_that_ends_soon(ask, authority, protocol):
    with MailServer(protocol, authority.context(days=5)) as server:
        found = ask(protocol, server.port)
    assert (found["level"], "valid for 5 days" in found["what"]) == ("warning", True)


@pytest.mark.parametrize("security", ["tls", "starttls"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        ({"self_signed": True, "days": 90}, "local issuer"),
        ({"days": -1}, "expired"),
        ({"host": "another.example", "days": 90}, "mismatch"),
    ],
)
def test_a_certificate_that_is_not_trusted(ask, authority, protocol, security, certificate, words):
    with MailServer(protocol, authority.context(**certificate), starttls=security == "starttls") as server:
        found = ask(protocol, server.port, security=security)
    assert found["level"] == "error"
    assert words in found["what"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_starttls_that_somebody_has_stripped(ask, tls, protocol):
    with MailServer(protocol, tls, starttls=True, strips=True) as server:
        found = ask(protocol, server.port, security="starttls")
    assert found["level"] == "error"


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("greeting", ["HTTP/1.1 400 Bad Request", "421 go away", "\x00\xff"])
def test_a_host_that_is_no_such_host(ask, tls, protocol, greeting):
    with MailServer(protocol, tls, greeting=greeting) as server:
        found = ask(protocol, server.port)
    assert (found["level"], "did not greet as it should" in found["what"]) == ("error", True)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tls_where_there_is_none(ask, tls, protocol):
    with MailServer(protocol, tls, starttls=True) as server:
        assert ask(protocol, server.port)["level"] == "error"


def test_a_port_where_nobody_listens(ask):
    found = ask("IMAP", free_port())
    assert (found["level"], found["what"]) == ("error", "127.0.0.1 refused the connection (refused).")


def test_a_host_that_says_nothing_holds_nothing_up(ask, tls, monkeypatch):
    monkeypatch.setattr(examination, "LIVE_SECONDS", 2.0)
    with MailServer("IMAP", tls, greeting=None) as server:
        found = ask("IMAP", server.port)
    assert (found["level"], found["what"]) == ("error", "No answer within 2 s.")


def test_a_private_host_that_nobody_listed_is_not_spoken_to(ask, tls):
    with MailServer("IMAP", tls) as server:
        found = ask("IMAP", server.port, PRIVATE_HOSTS=[])
    assert (found["level"], "PRIVATE_HOSTS" in found["hint"]) == ("error", True)
    assert server.heard == []


def test_each_host_is_asked_once(doctor, provider, settings, authority, tls):
    with MailServer("IMAP", tls) as server:
        address = Address(host="127.0.0.1", port=server.port)
        base = settings.MAIL_OAUTH
        providers = {
            alias: {**base["PROVIDERS"][alias], "IMAP": address, "POP": None, "SMTP": None}
            for alias in ("google", "microsoft", "plain")
        }
        settings.MAIL_OAUTH = {**base, "CA_BUNDLE": str(authority.bundle), "PROVIDERS": providers}
        found = doctor("--live").of("mail.imap")
    assert found["level"] == "ok"
    assert sum("CAPABILITY" in line for line in server.heard) == 1
