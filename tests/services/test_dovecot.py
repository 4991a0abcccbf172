"""The suite's Dovecot: whom it lets in, and in which words it refuses. The client's code has to tell these apart."""

from __future__ import annotations

import base64
import imaplib
import ssl
from collections.abc import Callable

import pytest

from mail_oauth.testing.faults import Fault
from mail_oauth.testing.provider import FakeProvider
from tests.services import Dovecot, dovecot
from tests.services.dovecot_files import MICROSOFT, PROTOCOLS, SCOPES
from tests.services.programs import MissingProgram, find_program
from tests.services.signing_in import CONNECT, Outcome, frame_of, imap, pop3, sign_in, submission, trusting

ADA = "ada@example.com"
MECHANISMS = ("XOAUTH2", "OAUTHBEARER")

SIGNED_IN = {"imap": "Logged in", "pop3": "+OK Logged in.", "submission": "235 2.7.0 Logged in."}
REFUSED = {
    "imap": "[AUTHENTICATIONFAILED] Authentication failed.",
    "pop3": "-ERR [AUTH] Authentication failed.",
    "submission": "535 5.7.8 Authentication failed.",
}
UNAVAILABLE = {
    "imap": "[UNAVAILABLE] Temporary authentication failure.",
    "pop3": "-ERR [SYS/TEMP] Temporary authentication failure.",
    "submission": "454 4.7.0 Temporary authentication failure.",
}
CHALLENGES = {
    "XOAUTH2": [b'{"status":"401","schemes":"bearer","scope":"mail"}'],
    "OAUTHBEARER": [b'{"status":"invalid_token"}'],
}
WITHOUT_MAIL = f"openid offline_access {MICROSOFT}/EWS.AccessAsUser.All"
EVERY_SCOPE = f"openid offline_access {' '.join(SCOPES['microsoft'].values())}"

each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)
each_mechanism = pytest.mark.parametrize("mechanism", MECHANISMS)


@pytest.fixture
def attempt(dovecot: Dovecot, provider: FakeProvider) -> Callable[..., Outcome]:
    """Signs in on a connection of its own."""

    def once(protocol: str, mechanism: str, token: str, address: str = ADA, **where: object) -> Outcome:
        with CONNECT[protocol](dovecot, **where) as client:
            return sign_in(protocol, client, mechanism, address, token)

    return once


@pytest.fixture
def token(provider: FakeProvider) -> str:
    return str(provider.grant(ADA, scope=EVERY_SCOPE)["access_token"])


@each_protocol
@each_mechanism
class TestAToken:
    def test_opens_its_mailbox(self, attempt, token, protocol, mechanism) -> None:
        assert attempt(protocol, mechanism, token) == Outcome(SIGNED_IN[protocol], [])

    @pytest.mark.parametrize("end", ["expire_access_tokens", "revoke"])
    def test_that_has_ended_is_refused(self, attempt, provider, token, protocol, mechanism, end) -> None:
        getattr(provider, end)(ADA)
        assert attempt(protocol, mechanism, token) == Outcome(REFUSED[protocol], CHALLENGES[mechanism])

    def test_that_nobody_issued_is_refused(self, attempt, protocol, mechanism) -> None:
        assert attempt(protocol, mechanism, "never-issued") == Outcome(REFUSED[protocol], CHALLENGES[mechanism])

    def test_opens_no_other_mailbox(self, attempt, token, protocol, mechanism) -> None:
        outcome = attempt(protocol, mechanism, token, "bob@example.com")
        assert outcome == Outcome(REFUSED[protocol], CHALLENGES[mechanism])

    def test_without_the_scope_is_refused(self, attempt, provider, protocol, mechanism) -> None:
        token = provider.grant(ADA, scope=WITHOUT_MAIL)["access_token"]
        assert attempt(protocol, mechanism, token) == Outcome(REFUSED[protocol], CHALLENGES[mechanism])

    @pytest.mark.parametrize("address", ["ada+lists@example.com", "a=b,c@example.com", "Ada@Example.com"])
    def test_is_good_for_an_odd_address(self, attempt, provider, protocol, mechanism, address) -> None:
        token = provider.grant(address.lower(), scope=EVERY_SCOPE)["access_token"]  # as the provider writes it
        assert attempt(protocol, mechanism, token, address).line == SIGNED_IN[protocol]


@each_protocol
def test_a_scope_opens_its_own_protocol_only(attempt, provider, protocol) -> None:
    token = provider.grant(ADA, scope=f"offline_access {SCOPES['microsoft'][protocol]}")["access_token"]
    opened = [each for each in PROTOCOLS if attempt(each, "XOAUTH2", token).line == SIGNED_IN[each]]
    assert opened == [protocol]


@each_protocol
@pytest.mark.parametrize(
    "fault",
    [Fault.html(502), Fault.rate_limited(), Fault.html(401), Fault.close(), Fault.raw(200, b"<html>")],
    ids=["502", "429", "401", "closed", "not JSON"],
)
def test_a_provider_that_does_not_tell_is_a_passing_failure(attempt, provider, token, protocol, fault) -> None:
    with provider.fault(fault, endpoint="introspect"):
        assert attempt(protocol, "XOAUTH2", token) == Outcome(UNAVAILABLE[protocol], [])
    assert attempt(protocol, "XOAUTH2", token).line == SIGNED_IN[protocol]


@each_protocol
def test_an_inactive_token_is_refused_whatever_else_is_said_of_it(attempt, provider, token, protocol) -> None:
    with provider.fault(Fault.reply_with(active=False), endpoint="introspect"):
        assert attempt(protocol, "XOAUTH2", token) == Outcome(REFUSED[protocol], CHALLENGES["XOAUTH2"])


def test_the_provider_is_asked_each_time(attempt, provider, token) -> None:
    provider.clear_calls()
    for _ in range(2):
        attempt("imap", "XOAUTH2", token)
    assert [(call.endpoint, call.email) for call in provider.calls] == [("introspect", ADA)] * 2


@pytest.mark.parametrize("personality", SCOPES)
def test_it_takes_the_tokens_of_the_personality_that_it_trusts(dovecot, attempt, provider, personality) -> None:
    scope = " ".join({"offline_access", *SCOPES[personality].values()})
    token = provider.grant(ADA, personality=personality, scope=scope)["access_token"]
    dovecot.trust("google" if personality != "google" else "microsoft")
    assert attempt("imap", "XOAUTH2", token).line == REFUSED["imap"]
    dovecot.trust(personality)
    assert [attempt(each, "XOAUTH2", token).line for each in PROTOCOLS] == list(SIGNED_IN.values())


def test_smtp_takes_a_long_token_after_its_prompt_only(dovecot, token) -> None:
    frame = base64.b64encode(frame_of("XOAUTH2", ADA, token)).decode()
    with submission(dovecot) as client:
        assert client.docmd("AUTH", f"XOAUTH2 {frame}") == (500, b"5.5.2 Line too long")
        assert client.docmd("AUTH", "XOAUTH2") == (334, b"")
        assert client.docmd(frame) == (235, b"2.7.0 Logged in.")


class TestTls:
    """From a host that it does not take for its own, Dovecot offers nothing in clear."""

    def test_imap_by_starttls(self, dovecot, token) -> None:
        with imap(dovecot, host=dovecot.far_host, clear=True) as client:
            assert not [each for each in client.capabilities if each.startswith("AUTH=")]
            client.starttls(trusting(dovecot))
            assert {"AUTH=XOAUTH2", "AUTH=OAUTHBEARER"} <= set(client.capabilities)
            assert sign_in("imap", client, "XOAUTH2", ADA, token).line == SIGNED_IN["imap"]

    def test_pop3_by_stls(self, dovecot, token) -> None:
        with pop3(dovecot, host=dovecot.far_host, clear=True) as client:
            assert client.capa()["SASL"] == []
            client.stls(trusting(dovecot))
            assert client.capa()["SASL"] == [*MECHANISMS]
            assert sign_in("pop3", client, "XOAUTH2", ADA, token).line == SIGNED_IN["pop3"]

    def test_submission_by_starttls(self, dovecot, token) -> None:
        with submission(dovecot, host=dovecot.far_host, clear=True) as client:
            assert not client.has_extn("auth")
            client.starttls(context=trusting(dovecot))
            client.ehlo()
            assert client.esmtp_features["auth"].split() == [*MECHANISMS]
            assert sign_in("submission", client, "XOAUTH2", ADA, token).line == SIGNED_IN["submission"]

    @each_protocol
    def test_in_clear_no_token_is_taken(self, attempt, dovecot, token, protocol) -> None:
        line = {
            "imap": "[PRIVACYREQUIRED] Authentication not allowed until SSL/TLS is enabled.",
            "pop3": "-ERR [AUTH] Authentication not allowed until SSL/TLS is enabled.",
            "submission": "530 5.7.0 TLS required.",
        }
        assert attempt(protocol, "XOAUTH2", token, host=dovecot.far_host, clear=True).line == line[protocol]

    @each_protocol
    def test_a_certificate_may_be_for_another_host(self, dovecot, protocol) -> None:
        with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
            CONNECT[protocol](dovecot, host=dovecot.wrong_host).__enter__()


class TestMail:
    def test_a_delivered_message_is_in_the_mailbox(self, dovecot, token) -> None:
        dovecot.deliver(ADA, b"Subject: Hello\r\n\r\nAda\r\n")
        with imap(dovecot) as client:
            sign_in("imap", client, "XOAUTH2", ADA, token)
            assert client.select() == ("OK", [b"1"])
            assert client.fetch("1", "(BODY[])")[1][0][1] == b"Subject: Hello\r\n\r\nAda\r\n"

    def test_the_next_test_finds_no_mail(self, dovecot, token) -> None:
        dovecot.deliver(ADA, b"Subject: Hello\r\n\r\nAda\r\n")
        dovecot.clear()
        with pop3(dovecot) as client:
            sign_in("pop3", client, "XOAUTH2", ADA, token)
            assert client.stat() == (0, 0)

    def test_a_submitted_message_comes_to_the_sink(self, dovecot, token) -> None:
        with submission(dovecot) as client:
            sign_in("submission", client, "XOAUTH2", ADA, token)
            client.sendmail(ADA, ["bob@example.com", "eve@example.com"], b"Subject: Hello\r\n\r\nBob\r\n")
        (taken,) = dovecot.sink.messages
        assert (taken.sender, taken.recipients) == (ADA, ("bob@example.com", "eve@example.com"))
        assert taken.content.endswith(b"\r\nSubject: Hello\r\n\r\nBob\r\n")


class TestASession:
    @pytest.mark.parametrize("end", [lambda server: server.kick(ADA), Dovecot.restart], ids=["kick", "restart"])
    def test_ends_and_the_next_one_begins(self, dovecot, attempt, token, end) -> None:
        with imap(dovecot) as client:
            sign_in("imap", client, "XOAUTH2", ADA, token)
            end(dovecot)
            with pytest.raises((imaplib.IMAP4.abort, OSError)):
                client.noop()
        assert attempt("imap", "XOAUTH2", token).line == SIGNED_IN["imap"]

    def test_of_nobody_cannot_be_kicked(self, dovecot) -> None:
        with pytest.raises(RuntimeError, match="no users kicked"):
            dovecot.kick("nobody@example.com")

    def test_ends_with_the_server_and_mail_stays(self, dovecot, attempt, token) -> None:
        dovecot.deliver(ADA, b"Subject: Hello\r\n\r\nAda\r\n")
        dovecot.stop()
        with pytest.raises(ConnectionRefusedError):
            attempt("imap", "XOAUTH2", token)
        dovecot.start()
        with pop3(dovecot) as client:
            sign_in("pop3", client, "XOAUTH2", ADA, token)
            assert client.stat()[0] == 1


def test_what_it_refused_and_why_is_in_its_log(dovecot, attempt, token) -> None:
    attempt("imap", "XOAUTH2", token, "bob@example.com")
    log = dovecot.log.read_text()
    assert "Username 'bob@example.com' did not match 'ada@example.com'" in log
    assert token not in log


def test_without_its_programs_it_is_not_started(fake_provider_server, monkeypatch) -> None:
    monkeypatch.setattr(dovecot, "find_program", lambda *names: find_program("no-such-server"))
    with pytest.raises(MissingProgram):
        Dovecot(fake_provider_server)
