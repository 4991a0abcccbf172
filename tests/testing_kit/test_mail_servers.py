"""The mail servers: who is let in, what IMAP shows, where what is sent goes, and what malformed input meets."""

from __future__ import annotations

import contextlib
import imaplib
import logging
import smtplib
import socket
import ssl
import sys
from base64 import b64encode

import pytest

from mail_oauth.testing.mailservers import MailServers, Taken
from mail_oauth.testing.mailservers.access import SCOPES
from mail_oauth.testing.personalities import PERSONALITIES
from mail_oauth.tokens import MailServer
from tests.services.signing_in import Answers, frame_of, sign_in

SECONDS = 20
ADA, GRACE = "ada@example.com", "grace@example.com"
LETTER = b"From: Grace <grace@example.com>\r\nTo: ada@example.com\r\nSubject: hello\r\n\r\nHow are you?\r\n"

each_protocol = pytest.mark.parametrize("protocol", ["imap", "submission"])
each_mechanism = pytest.mark.parametrize("mechanism", ["XOAUTH2", "OAUTHBEARER"])


@pytest.fixture
def mail(provider):
    pytest.importorskip("aiosmtpd", reason="aiosmtpd is not installed")
    with MailServers(provider) as running:
        yield running


@pytest.fixture
def token(provider):
    return provider.grant(ADA)["access_token"]


def trusting(mail: MailServers) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(mail.ca_file))


@contextlib.contextmanager
def connected(mail: MailServers, protocol: str):
    """A client of the standard library that has not signed in."""
    if protocol == "imap":
        client = imaplib.IMAP4_SSL(mail.host, mail.imap_port, ssl_context=trusting(mail), timeout=SECONDS)
        close = client.shutdown
    else:
        client = smtplib.SMTP_SSL(mail.host, mail.smtp_port, context=trusting(mail), timeout=SECONDS)
        client.ehlo()
        close = client.close
    try:
        yield client
    finally:
        with contextlib.suppress(OSError):  # after a logout
            close()


@contextlib.contextmanager
def signed_in(mail: MailServers, protocol: str, token: str, address: str = ADA):
    with connected(mail, protocol) as client:
        sign_in(protocol, client, "XOAUTH2", address, token)
        yield client


@contextlib.contextmanager
def wire(mail: MailServers):
    """A bare connection to IMAP, greeted; `say` sends bytes and returns the lines up to the one with this tag."""
    with (
        socket.create_connection((mail.host, mail.imap_port), timeout=SECONDS) as plain,
        trusting(mail).wrap_socket(plain, server_hostname=mail.host) as line,
        line.makefile("rb") as heard,
    ):
        assert heard.readline().startswith(b"* OK ")

        def say(sent: bytes, until: bytes = b"") -> list[bytes]:
            line.sendall(sent)
            lines = [heard.readline()]
            while lines[-1] and until and not lines[-1].startswith(until):
                lines.append(heard.readline())
            return lines

        yield say


class TestWhoIsSignedIn:
    @each_mechanism
    @pytest.mark.parametrize("personality", PERSONALITIES)
    @each_protocol
    def test_whoever_brings_a_living_token(self, provider, mail, protocol, personality, mechanism):
        token = provider.grant(ADA, personality)["access_token"]
        with connected(mail, protocol) as client:
            outcome = sign_in(protocol, client, mechanism, ADA, token)
            assert outcome.challenges == []
            assert client.noop()[0] in {"OK", 250}
            assert "Signed in" in outcome.line or outcome.line.startswith("235 ")

    @each_mechanism
    @each_protocol
    def test_in_the_first_line_too(self, mail, protocol, mechanism, provider):
        token = provider.grant(ADA, "google")["access_token"]
        first = b64encode(frame_of(mechanism, ADA, token)).decode()
        with connected(mail, protocol) as client:
            if protocol == "imap":
                assert client._simple_command("AUTHENTICATE", mechanism, first)[0] == "OK"
            else:
                assert client.docmd("AUTH", f"{mechanism} {first}")[0] == 235

    @pytest.mark.parametrize("name", ["ada+lists", "a=b", "a,b"])
    @each_mechanism
    @each_protocol
    def test_whose_address_is_odd(self, provider, mail, protocol, mechanism, name):
        token = provider.grant(f"{name}@example.com")["access_token"]
        with connected(mail, protocol) as client:
            assert sign_in(protocol, client, mechanism, f"{name}@example.com", token).challenges == []

    def test_by_imapclient(self, mail, token):
        imapclient = pytest.importorskip("imapclient", reason="IMAPClient is not installed")
        with imapclient.IMAPClient(mail.host, mail.imap_port, ssl_context=trusting(mail)) as client:
            client.oauth2_login(ADA, token)
            assert client.select_folder("INBOX")[b"EXISTS"] == 0


class TestWhoIsRefused:
    @pytest.mark.parametrize("why", ["expired", "revoked", "unknown", "another's"])
    @each_mechanism
    @each_protocol
    def test_is_challenged_and_then_told_no(self, provider, mail, token, protocol, mechanism, why):
        address = GRACE if why == "another's" else ADA
        if why == "expired":
            provider.expire_access_tokens(ADA)
        if why == "revoked":
            provider.revoke(ADA)
        shown = "never-issued" if why == "unknown" else token
        with connected(mail, protocol) as client:
            outcome = sign_in(protocol, client, mechanism, address, shown)
        [challenge] = outcome.challenges
        assert (b'"invalid_token"' if mechanism == "OAUTHBEARER" else b'"401"') in challenge
        assert "[AUTHENTICATIONFAILED]" in outcome.line or outcome.line.startswith("535 5.7.8")

    @each_protocol
    def test_for_want_of_a_scope_is_told_which(self, provider, mail, protocol):
        mine, other = ("IMAP", "SMTP") if protocol == "imap" else ("SMTP", "IMAP")
        scope = SCOPES["microsoft"]
        token = provider.grant(ADA, scope=["offline_access", scope[other]])["access_token"]
        with connected(mail, protocol) as client:
            [challenge] = sign_in(protocol, client, "OAUTHBEARER", ADA, token).challenges
        assert b'"insufficient_scope"' in challenge
        assert scope[mine].encode() in challenge

    @pytest.mark.parametrize(
        "frame",
        [b"", b"user=ada@example.com", b"\xff\xfe", b"user=a\1auth=Basic x\1\1", b"n,,\1auth=Bearer x\1\1"],
    )
    @each_mechanism
    @each_protocol
    def test_with_a_frame_that_is_none(self, mail, protocol, mechanism, frame):
        answers = Answers(mechanism, frame)
        with connected(mail, protocol) as client:
            if protocol == "imap":
                with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
                    client.authenticate(mechanism, answers)
            else:
                client.docmd("AUTH", mechanism)
                assert client.docmd(b64encode(frame).decode())[0] == 535
            assert client.noop()[0] in {"OK", 250}

    @each_protocol
    def test_who_gives_up(self, mail, protocol):
        with connected(mail, protocol) as client:
            if protocol == "imap":
                with pytest.raises(imaplib.IMAP4.error, match="BAD"):
                    client.authenticate("XOAUTH2", lambda _: None)
            else:
                client.docmd("AUTH", "XOAUTH2")
                assert client.docmd("*")[0] == 501
            assert client.noop()[0] in {"OK", 250}

    def test_by_a_password(self, mail):
        with connected(mail, "imap") as client, pytest.raises(imaplib.IMAP4.error, match="access token"):
            client.login(ADA, "password")
        with connected(mail, "submission") as client:
            assert client.esmtp_features["auth"].split() == ["OAUTHBEARER", "XOAUTH2"]
            assert client.docmd("AUTH", "PLAIN")[0] == 504

    def test_who_has_not_signed_in(self, mail):
        with connected(mail, "imap") as client, wire(mail) as say:
            assert say(b"a SELECT INBOX\r\n") == [b"a BAD Sign in first.\r\n"]
            assert client.noop()[0] == "OK"
        with connected(mail, "submission") as client:
            assert client.mail(ADA)[0] == 530

    def test_a_line_with_a_token_that_is_too_long(self, mail):
        with connected(mail, "submission") as client:
            client.docmd("AUTH", "XOAUTH2")
            assert client.docmd("QUJD" * 10_000)[0] == 500
        with wire(mail) as say:
            say(b"a AUTHENTICATE XOAUTH2\r\n")
            assert b"BAD" in say(b"QUJD" * 50_000 + b"\r\n")[0]


class TestWhatImapShows:
    @pytest.fixture
    def imap(self, mail, token):
        mail.deliver(ADA, LETTER)
        mail.deliver(ADA, "Subject: Grüße\n\n€\0".encode())
        with signed_in(mail, "imap", token) as client:
            yield client

    def test_messages(self, imap):
        assert imap.select() == ("OK", [b"2"])
        assert imap.fetch("1", "(RFC822)")[1][0] == (b"1 (RFC822 {%d}" % len(LETTER), LETTER)
        assert imap.fetch("2", "(BODY[])")[1][0][1] == "Subject: Grüße\r\n\r\n€".encode(), "line ends, and no NUL"

    @pytest.mark.parametrize(
        ("item", "told"),
        [
            ("BODY[HEADER]", LETTER.partition(b"How")[0]),
            ("BODY[TEXT]", b"How are you?\r\n"),
            ("BODY[TEXT]<4.3>", b"are"),
            ("BODY.PEEK[HEADER.FIELDS (SUBJECT x-y)]", b"Subject: hello\r\n\r\n"),
            ("BODY[HEADER.FIELDS.NOT (from to)]", b"Subject: hello\r\n\r\n"),
            ("RFC822.HEADER", LETTER.partition(b"How")[0]),
        ],
    )
    def test_parts_of_a_message(self, imap, item, told):
        imap.select(readonly=True)
        [(label, content), end] = imap.fetch("1", item)[1]
        assert content == told
        assert label.startswith(b"1 (" + item.replace(".PEEK", "").replace(".3>", ">").encode())
        assert end == b")"

    def test_facts_of_a_message(self, imap):
        imap.select(readonly=True)
        [told] = imap.fetch("1", "(FLAGS UID RFC822.SIZE INTERNALDATE)")[1]
        assert told.startswith(f"1 (FLAGS () UID 1 RFC822.SIZE {len(LETTER)} INTERNALDATE ".encode())
        assert imaplib.Internaldate2tuple(told) is not None

    def test_envelopes_that_imapclient_reads(self, mail, token):
        imapclient = pytest.importorskip("imapclient", reason="IMAPClient is not installed")
        mail.deliver(
            ADA,
            b'From: "O\'Hara, \\"J\\"" <j@x.example>, k@y.example\r\nSubject: =?utf-8?q?=C3=A4?=\r\n a\r\n\r\n',
        )
        mail.deliver(ADA, b"\r\nno header at all")
        mail.deliver(
            ADA, b"From: " + b"(" * 3000 + b"\r\nSubject: \xff\r\nDate: Mon, 1 Jan 2024 10:00:00 +0000\r\n\r\n"
        )
        with imapclient.IMAPClient(mail.host, mail.imap_port, ssl_context=trusting(mail)) as client:
            client.oauth2_login(ADA, token)
            client.select_folder("INBOX")
            told = client.fetch([1, 2, 3], ["ENVELOPE", "FLAGS", "RFC822.SIZE"])
        first, second, third = (told[uid][b"ENVELOPE"] for uid in (1, 2, 3))
        assert [(each.name, each.mailbox, each.host) for each in first.from_] == [
            (b'O\'Hara, "J"', b"j", b"x.example"),
            (None, b"k", b"y.example"),
        ]
        assert first.subject == b"=?utf-8?q?=C3=A4?= a"
        assert (second.subject, second.from_) == (None, None)
        assert (third.subject, third.date.year) == (b"\xff", 2024)

    def test_reading_makes_seen_and_peeking_does_not(self, imap):
        imap.select()
        imap.fetch("2", "(BODY.PEEK[])")
        assert imap.search(None, "UNSEEN") == ("OK", [b"1 2"])
        assert b"\\Seen" in b"".join(imap.fetch("1", "(BODY[])")[1][-1:])
        assert imap.search(None, "UNSEEN") == ("OK", [b"2"])
        assert imap.search(None, "SEEN") == ("OK", [b"1"])

    def test_nothing_is_marked_by_who_examines(self, imap):
        imap.select(readonly=True)
        imap.fetch("1:*", "(RFC822)")
        assert imap.search(None, "UNSEEN") == ("OK", [b"1 2"])

    @pytest.mark.parametrize(
        ("key", "found"),
        [
            ("ALL", b"1 2"),
            ("2:*", b"2"),
            ("*", b"2"),
            ("UID 1", b"1"),
            ("ALL 1", b"1"),
            ("7", b""),
            ("5:1", b"1 2"),
        ],
    )
    def test_search(self, imap, key, found):
        imap.select()
        assert imap.search(None, key) == ("OK", [found])
        assert imap.uid("SEARCH", key) == ("OK", [found])

    def test_by_uid(self, imap):
        imap.select()
        [(label, _), _] = imap.uid("FETCH", "2", "(BODY.PEEK[HEADER])")[1]
        assert label.startswith(b"2 (UID 2 BODY[HEADER]")

    def test_folders(self, imap):
        inbox = [b'(\\HasNoChildren) "/" INBOX']
        for pattern in ("*", "%", "inbox", "IN*"):
            assert imap.list('""', pattern) == ("OK", inbox)
        assert imap.list('""', "Sent") == ("OK", [None])
        assert imap.list('""', "[A-Z]NBOX") == ("OK", [None])
        assert imap.list('""', '""') == ("OK", [b'(\\Noselect) "/" ""'])
        assert imap.select("Sent")[0] == "NO"

    def test_status(self, imap):
        told = imap.status("INBOX", "(MESSAGES UNSEEN UIDNEXT)")
        assert told == ("OK", [b"INBOX (MESSAGES 2 UNSEEN 2 UIDNEXT 3)"])

    def test_new_mail_from_the_next_noop_on(self, mail, imap):
        imap.select()
        mail.deliver(ADA, LETTER)
        assert imap.search(None, "ALL") == ("OK", [b"1 2"])
        imap.noop()
        assert imap.response("EXISTS")[1][-1] == b"3"
        assert imap.search(None, "ALL") == ("OK", [b"1 2 3"])

    def test_nobody_elses_mail(self, provider, mail, imap):
        with signed_in(mail, "imap", provider.grant(GRACE)["access_token"], GRACE) as hers:
            assert hers.select() == ("OK", [b"0"])

    def test_goes_on_after_closing(self, imap):
        imap.select()
        assert imap.close()[0] == "OK"
        assert imap.select()[0] == "OK"
        assert imap.logout()[0] == "BYE"


class TestWhereMailGoes:
    def test_to_the_mailboxes_of_whom_the_provider_knows(self, provider, mail, token):
        provider.add_account(GRACE)
        with signed_in(mail, "submission", token) as client:
            client.sendmail(ADA, [GRACE, ADA.upper(), "unknown@example.net"], LETTER)
        assert mail.taken == [
            Taken(sender=ADA, recipients=(GRACE, ADA.upper(), "unknown@example.net"), content=LETTER)
        ]
        for address in (ADA, GRACE):
            with signed_in(mail, "imap", provider.grant(address)["access_token"], address) as imap:
                assert imap.select() == ("OK", [b"1"])
                assert b"Subject: hello" in imap.fetch("1", "(RFC822)")[1][0][1]

    def test_nowhere_as_somebody_else(self, mail, token):
        with signed_in(mail, "submission", token) as client:
            assert client.mail(GRACE) == (
                550,
                b"5.7.60 SMTP; Client does not have permissions to send as this sender",
            )
        assert mail.taken == []

    def test_nowhere_to_a_crowd(self, mail, token):
        with signed_in(mail, "submission", token) as client:
            client.mail(ADA)
            codes = [client.rcpt(f"a{number}@example.com")[0] for number in range(101)]
        assert codes == [250] * 100 + [452]

    def test_a_new_mailbox_of_the_demo_is_not_empty(self, provider, token):
        with MailServers(provider, seeded=True) as mail, signed_in(mail, "imap", token) as imap:
            [count] = imap.select(readonly=True)[1]
            subjects = imap.fetch("1:*", "(BODY[HEADER.FIELDS (SUBJECT)])")[1]
        assert int(count) == 3
        assert b"<script>" in b"".join(part[1] for part in subjects if isinstance(part, tuple))


class TestMalformedInput:
    @pytest.mark.parametrize(
        "sent",
        [
            b"",
            b"a",
            b"a ",
            b"\xff\xfe \x80",
            b"a FETCH",
            b"a FETCH 1 (",
            b"a FETCH 1 )",
            b"a FETCH 0 FLAGS",
            b"a FETCH 1:x FLAGS",
            b'a LIST "" "',
            b"a UID",
            b"a UID STORE 1 FLAGS x",
            b"a SEARCH",
            b"a SEARCH CHARSET",
            b"a SEARCH (ALL)",
            b"a STATUS INBOX (SECRETS)",
            b"a FETCH 1 BODY[1.2.3]",
            b"a FETCH 1 BODY[HEADER.FIELDS ()]",
            b"a FETCH 1 BODY[",
            b"a FETCH 1 (" + b"FLAGS " * 99 + b")",
            b"a SEARCH " + b"(" * 2000,
            b"a SEARCH " + b"1," * 2000 + b"1",
            b"a SEARCH " + b"ALL " * 2000,
            b"a APPEND INBOX {5}extra",
            b"a " + b"X" * 40_000,
        ],
    )
    def test_is_bad_and_the_session_goes_on(self, mail, token, sent):
        mail.deliver(ADA, LETTER)
        with wire(mail) as say:
            first = b64encode(frame_of("XOAUTH2", ADA, token))
            assert b" OK " in say(b"x AUTHENTICATE XOAUTH2 " + first + b"\r\n")[-1]
            say(b"y SELECT INBOX\r\n", b"y ")
            assert say(sent + b"\r\n")[0].split(b" ")[1] == b"BAD"
            assert say(b"z NOOP\r\n") == [b"z OK NOOP is done.\r\n"]

    def test_literals_are_taken_where_strings_are(self, mail, token):
        with wire(mail) as say:
            say(b"x AUTHENTICATE XOAUTH2 " + b64encode(frame_of("XOAUTH2", ADA, token)) + b"\r\n")
            assert say(b"a SELECT {5}\r\n") == [b"+ Go on.\r\n"]
            assert b"a OK" in say(b"INBOX\r\n", b"a ")[-1]
            assert b"b OK" in say(b"b EXAMINE {5+}\r\nINBOX\r\n", b"b ")[-1]

    @pytest.mark.parametrize(
        "sent",
        [b"a" * 100_000, b"a LIST {99999999}\r\n", b"a LIST {200000+}\r\n" + b"x" * 200_000 + b" {200000+}\r\n"],
    )
    def test_that_is_too_long_ends_the_connection(self, mail, sent):
        with wire(mail) as say:
            lines = say(sent, b"* BYE")
            assert lines[-1].startswith(b"* BYE")

    def test_without_end_ends_the_connection(self, mail):
        with wire(mail) as say:
            lines = say(b"?\r\n" * 60, b"* BYE")
            assert len(lines) == 51
            assert lines[-1].startswith(b"* BYE")

    def test_that_is_no_tls_harms_nobody(self, mail, token):
        for port in (mail.imap_port, mail.smtp_port):
            with socket.create_connection((mail.host, port), timeout=SECONDS) as plain:
                plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
        with signed_in(mail, "imap", token) as imap:
            assert imap.noop()[0] == "OK"

    def test_is_not_logged(self, mail, token, caplog):
        caplog.set_level(logging.DEBUG)
        with connected(mail, "submission") as client:
            client.docmd("AUTH", "XOAUTH2")
            client.docmd("?" + token)
            client.docmd(f"HELLO {token}")
        assert token not in caplog.text


class TestTheirLife:
    def test_ends_connections_and_begins_again_with_the_mail_that_was_there(self, provider, token):
        mail = MailServers(provider)
        with mail:
            mail.deliver(ADA, LETTER)
            before = mail.ca_file
            with signed_in(mail, "imap", token) as imap, signed_in(mail, "submission", token) as smtp:
                mail.stop()
                with pytest.raises((OSError, imaplib.IMAP4.error)):
                    imap.noop()
                with pytest.raises((OSError, smtplib.SMTPException)):
                    smtp.docmd("NOOP")
        assert not before.exists()
        assert repr(mail) == "<MailServers stopped>"
        with pytest.raises(RuntimeError, match="start"):
            _ = mail.imap_port
        with mail, signed_in(mail, "imap", token) as imap:
            assert imap.select() == ("OK", [b"1"])

    def test_ends_connections_that_never_began_tls(self, provider):
        with contextlib.ExitStack() as silent:
            with MailServers(provider) as mail:
                lines = [
                    silent.enter_context(socket.create_connection((mail.host, port), timeout=SECONDS))
                    for port in (mail.imap_port, mail.smtp_port)
                ]
                with connected(mail, "imap"):  # by now they are accepted
                    pass
            for line in lines:
                with contextlib.suppress(ConnectionResetError):
                    assert line.recv(1) == b""

    def test_begins_once(self, mail):
        with pytest.raises(RuntimeError, match="already"):
            mail.start()

    def test_does_not_begin_where_a_port_is_taken(self, provider, mail):
        other = MailServers(provider, smtp_port=mail.imap_port)
        with pytest.raises(OSError, match="in use"):
            other.start()
        assert repr(other) == "<MailServers stopped>"

    def test_needs_aiosmtpd_and_says_so(self, provider, monkeypatch):
        for name in [each for each in sys.modules if each.partition(".")[0] == "aiosmtpd"]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.delitem(sys.modules, "mail_oauth.testing.mailservers.submission", raising=False)
        monkeypatch.setitem(sys.modules, "aiosmtpd", None)
        with pytest.raises(ModuleNotFoundError, match=r"mail-oauth\[testing\]"):
            MailServers(provider).start()

    def test_the_certificate_is_for_loopback_alone(self, mail):
        place = (mail.host, mail.imap_port)
        with (
            socket.create_connection(place, timeout=SECONDS) as plain,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            trusting(mail).wrap_socket(plain, server_hostname="mail.example")
        with (
            socket.create_connection(place, timeout=SECONDS) as plain,
            trusting(mail).wrap_socket(plain, server_hostname="localhost") as line,
        ):
            assert line.version() == "TLSv1.3"

    def test_settings_lead_there(self, mail):
        before = {"PRIVATE_HOSTS": ["sso.internal"], "PROVIDERS": {"google": {"CLIENT_ID": "x"}, "yahoo": {}}}
        after = mail.settings(before, "google")
        assert after == {
            "PRIVATE_HOSTS": ["sso.internal", "127.0.0.1"],
            "CA_BUNDLE": str(mail.ca_file),
            "PROVIDERS": {
                "google": {
                    "CLIENT_ID": "x",
                    "IMAP": MailServer(host="127.0.0.1", port=mail.imap_port),
                    "SMTP": MailServer(host="127.0.0.1", port=mail.smtp_port),
                },
                "yahoo": {},
            },
        }
        assert "IMAP" in mail.settings(before)["PROVIDERS"]["yahoo"]
