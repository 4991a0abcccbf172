"""Mail servers that lie, stall, or say what Microsoft and Google say: sessions end in time, and no token goes astray."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from mail_oauth.exceptions import MailServerUnavailable, SignInRefused
from tests.mailbox import scripted
from tests.mailbox.scripted import BY_PROTOCOL, Conversation, ScriptedServer, answering, challenging, saying
from tests.mailboxes import stored

pytestmark = pytest.mark.django_db

PROTOCOLS = tuple(BY_PROTOCOL)
REFUSED = {
    "imap": "NO AUTHENTICATE failed.",
    "pop": "-ERR Authentication failure.",
    "smtp": "535 5.7.3 unsuccessful",
}

each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)


def sign_in(mailbox: Any, protocol: str) -> None:
    with getattr(mailbox, protocol)():
        pytest.fail("signed in")


def told_no_token(server: ScriptedServer, mailbox: Any) -> bool:
    token = mailbox.get_access_token().reveal()
    heard = b"".join(server.heard)
    return token.encode() not in heard and b64encode(token.encode())[4:-4] not in heard


class TestInTime:
    @each_protocol
    def test_34_a_server_that_says_a_byte_now_and_then(self, serve, connect, protocol):
        serve(protocol, lambda line: line.dribble(b"*", 0.2), seconds=1)
        with pytest.raises(MailServerUnavailable) as unavailable:
            sign_in(connect(), protocol)
        assert unavailable.value.reason == "timeout"

    @each_protocol
    def test_34_a_server_that_stalls_after_the_token(self, serve, connect, protocol):
        server = serve(protocol, BY_PROTOCOL[protocol](lambda line: line.dribble(b"x", 0.2)), seconds=1)
        with pytest.raises(MailServerUnavailable) as unavailable:
            sign_in(connect(), protocol)
        assert unavailable.value.reason == "timeout"
        assert server.connections == 1

    @each_protocol
    def test_a_server_that_hangs_up(self, serve, connect, protocol):
        serve(protocol, lambda line: line.close())
        with pytest.raises(MailServerUnavailable) as unavailable:
            sign_in(connect(), protocol)
        assert unavailable.value.reason == "connection"

    @pytest.mark.parametrize(
        "challenge",
        [b"!!! no base64 !!!", b"", b"eA", b64encode(b"\xff" * 9), b64encode(b"[" * 1500), b"A" * 100_000],
        ids=["no base64", "none", "unpadded", "no text", "deep", "huge"],
    )
    @each_protocol
    def test_68_a_challenge_that_is_no_json(self, serve, connect, protocol, challenge):
        serve(protocol, BY_PROTOCOL[protocol](challenging(protocol, challenge, REFUSED[protocol])))
        with pytest.raises((SignInRefused, MailServerUnavailable)):
            sign_in(connect(), protocol)

    @each_protocol
    def test_68_a_server_that_asks_for_ever(self, serve, connect, protocol):
        talk = BY_PROTOCOL[protocol](challenging(protocol, b64encode(b"{}"), "", times=1_000_000))
        serve(protocol, talk, seconds=1)
        with pytest.raises((SignInRefused, MailServerUnavailable)):
            sign_in(connect(), protocol)


class TestAnswersThatCannotBeRead:
    """The standard library's clients raise whatever their own reading stumbles on; a session, what it promises."""

    @pytest.mark.parametrize(
        ("protocol", "offer"),
        [
            ("pop", "XOAUTH2\r\nIMPLEMENTATION Zürich"),
            ("pop", "XOAUTH2\r\n"),
            ("imap", "IMAP4rev1 AUTH=XOAUTH2 X-ZÜRICH"),
            ("imap", "IMAP4rev1 X {99999999999999}"),
            ("imap", "IMAP4rev1 X {" + "9" * 5000 + "}"),
        ],
        ids=[
            "no ASCII",
            "an empty line",
            "no ASCII either",
            "a literal beyond memory",
            "a literal beyond numbers",
        ],
    )
    def test_about_what_is_offered(self, serve, connect, protocol, offer):
        serve(protocol, BY_PROTOCOL[protocol](lambda line: None, offer))
        with pytest.raises(MailServerUnavailable) as unavailable:
            sign_in(connect(), protocol)
        assert unavailable.value.reason == "connection"

    def test_about_the_token(self, serve, connect, posts):
        serve("imap", BY_PROTOCOL["imap"](lambda line: line.say("* X {" + "9" * 5000 + "}")))
        mailbox = connect()
        with pytest.raises(MailServerUnavailable) as unavailable:
            sign_in(mailbox, "imap")
        assert (unavailable.value.reason, posts(mailbox)) == ("connection", 0)

    def test_a_long_literal_is_not_waited_for_until_somebody_is_signed_in(self, serve, connect):
        serve("imap", BY_PROTOCOL["imap"](lambda line: None, "IMAP4rev1 X {70000}"))
        with pytest.raises(MailServerUnavailable) as unavailable:
            sign_in(connect(), "imap")
        assert unavailable.value.reason == "connection", "which is no timeout"
        message = ["* 1 FETCH (BODY[] {{70000}}", "x" * 70_000 + ")", "{tag} OK done"]
        then = {"SELECT": ["{tag} OK done"], "FETCH": message}
        serve("imap", scripted.imap(saying("imap", "OK done"), then=then))
        with connect().imap() as client:
            client.select()
            assert len(client.fetch("1", "BODY[]")[1][0][1]) == 70_000

    def test_the_tags_of_pop_have_no_case(self, serve, connect):
        """RFC 2449 §5."""
        serve("pop", scripted.pop(saying("pop", "+OK"), tag="sasl", then={"NOOP": ["+OK"], "QUIT": ["+OK"]}))
        with connect().pop() as client:
            assert client.noop() == b"+OK"


class TestAServerThatIsBusy:
    @pytest.mark.parametrize(
        "answers", [["421 4.3.2 busy"], ["220 ready", "421 4.3.2 busy"]], ids=["at once", "to EHLO"]
    )
    @pytest.mark.parametrize("tls", [True, False])
    def test_is_unavailable(self, serve, connect, posts, answers, tls):
        serve("smtp", answering([f"{answer}\r\n".encode() for answer in answers]), tls=tls)
        mailbox = connect()
        with pytest.raises(MailServerUnavailable) as unavailable:
            sign_in(mailbox, "smtp")
        assert (unavailable.value.reason, unavailable.value.code) == ("unavailable", "421 4.3.2")
        assert posts(mailbox) == 0

    def test_is_not_one_that_knows_no_ehlo(self, serve, connect):
        serve("smtp", answering([b"220 ready\r\n", b"502 5.5.1 what?\r\n"]))
        with pytest.raises(SignInRefused) as refused:
            sign_in(connect(), "smtp")
        assert refused.value.reason == "no_mechanism"


@pytest.mark.parametrize("name", ["ada\x01@example.com", "ada\udcff@example.com"])
@each_protocol
def test_nobody_is_asked_about_a_name_that_can_be_none(serve, connect, protocol, name):
    server = serve(protocol, BY_PROTOCOL[protocol](saying(protocol, REFUSED[protocol])))
    with pytest.raises(ValueError, match="The user name"), getattr(connect(), protocol)(user=name):
        pytest.fail("signed in")
    assert server.connections == 0


class TestNoTokenGoesAstray:
    @each_protocol
    def test_69_where_starttls_was_stripped(self, serve, connect, protocol):
        server = serve(protocol, BY_PROTOCOL[protocol](lambda line: None), tls=False)
        mailbox = connect()
        with pytest.raises(MailServerUnavailable) as unavailable:
            sign_in(mailbox, protocol)
        assert unavailable.value.reason == "tls"
        assert told_no_token(server, mailbox)

    @each_protocol
    def test_69_where_no_mechanism_takes_one(self, serve, connect, posts, protocol):
        none = {"imap": "IMAP4rev1 AUTH=PLAIN", "pop": "PLAIN", "smtp": "PLAIN LOGIN"}[protocol]
        server = serve(protocol, BY_PROTOCOL[protocol](lambda line: None, none))
        mailbox = connect()
        with pytest.raises(SignInRefused) as refused:
            sign_in(mailbox, protocol)
        assert refused.value.reason == "no_mechanism"
        assert told_no_token(server, mailbox)
        assert posts(mailbox) == 0

    @each_protocol
    def test_69_where_nothing_is_offered(self, serve, connect, protocol):
        none = "IMAP4rev1" if protocol == "imap" else ""
        server = serve(protocol, BY_PROTOCOL[protocol](lambda line: None, none))
        mailbox = connect()
        with pytest.raises(SignInRefused):
            sign_in(mailbox, protocol)
        assert told_no_token(server, mailbox)


class TestTheWordsOfProviders:
    @pytest.mark.parametrize(
        ("protocol", "text", "reason", "code"),
        [
            ("imap", "NO [UNAVAILABLE] Backend down.", "unavailable", "UNAVAILABLE"),
            ("imap", "NO [ALERT] Too many simultaneous connections. (Failure)", "unavailable", "ALERT"),
            ("pop", "-ERR [SYS/TEMP] Try again.", "unavailable", "SYS/TEMP"),
            ("smtp", "454 4.7.0 Temporary authentication failure", "unavailable", "454 4.7.0"),
            ("smtp", "421 4.3.2 Service not available", "unavailable", "421 4.3.2"),
        ],
    )
    def test_for_now_touch_no_grant(self, serve, connect, posts, protocol, text, reason, code):
        server = serve(protocol, BY_PROTOCOL[protocol](saying(protocol, text)))
        mailbox = connect()
        with pytest.raises(MailServerUnavailable) as unavailable:
            sign_in(mailbox, protocol)
        assert (unavailable.value.reason, unavailable.value.code) == (reason, code)
        assert (server.connections, posts(mailbox), stored(mailbox).rejected_at) == (1, 0, None)

    @pytest.mark.parametrize(
        ("protocol", "text", "code"),
        [
            (
                "smtp",
                "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
                "535 5.7.139",
            ),
            ("imap", "NO [ALERT] Your account is not enabled for IMAP use.", "ALERT"),
            ("pop", "-ERR [SYS/PERM] Your account is not enabled for POP access.", "SYS/PERM"),
        ],
    )
    def test_for_an_administrator_cost_no_refresh(self, serve, connect, posts, protocol, text, code):
        serve(protocol, BY_PROTOCOL[protocol](saying(protocol, text)))
        mailbox = connect()
        with pytest.raises(SignInRefused, match="administrator") as refused:
            sign_in(mailbox, protocol)
        assert (refused.value.reason, refused.value.code, posts(mailbox)) == ("switched_off", code, 0)

    @pytest.mark.parametrize("protocol", PROTOCOLS)
    def test_for_a_token_cost_one(self, serve, connect, posts, protocol):
        server = serve(protocol, BY_PROTOCOL[protocol](saying(protocol, REFUSED[protocol])))
        mailbox = connect()
        for _ in range(2):
            with pytest.raises(SignInRefused) as refused:
                sign_in(mailbox, protocol)
            assert refused.value.reason == "refused"
        assert posts(mailbox) == 1
        assert server.connections == 3, "two for the first, and one for the second, which may not refresh"

    def test_no_sentence_of_a_server_stands_in_an_error(self, serve, connect):
        serve("smtp", BY_PROTOCOL["smtp"](saying("smtp", "535 5.7.139 <script>alert(1)</script> is disabled")))
        with pytest.raises(SignInRefused) as refused:
            sign_in(connect(), "smtp")
        assert "script" not in str(refused.value)


def test_a_refusal_is_answered_by_what_the_mechanism_wants(serve, connect):
    server = serve("imap", BY_PROTOCOL["imap"](_refusing_until_answered, "IMAP4rev1 AUTH=XOAUTH2"))
    with pytest.raises(SignInRefused):
        sign_in(connect(), "imap")
    assert server.connections == 2


def _refusing_until_answered(line: Conversation) -> None:
    line.say("+ " + b64encode(b'{"status":"401"}').decode())
    assert line.hear() == b"\r\n"
    line.say(f"{line.tag} NO AUTHENTICATE failed.")
