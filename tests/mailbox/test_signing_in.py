"""Signed-in connections to a real Dovecot, which asks the provider about each token: who gets in, and who is told what."""

from __future__ import annotations

import contextlib
import imaplib
import poplib
import smtplib

import pytest

from mail_oauth.exceptions import (
    ConfigurationError,
    MailServerUnavailable,
    ReauthRequired,
    SignInRefused,
)
from mail_oauth.mailbox.sessions import Session
from mail_oauth.mailbox.wires import BROKEN
from mail_oauth.providers.microsoft import Microsoft
from mail_oauth.testing.faults import Fault
from tests.mailboxes import stored
from tests.services.dovecot_files import MICROSOFT

pytestmark = pytest.mark.django_db

PROTOCOLS = ("imap", "pop", "smtp")
MECHANISMS = ("XOAUTH2", "OAUTHBEARER")

MESSAGE = b"Subject: hello\r\nFrom: grace@example.com\r\nTo: ada@example.com\r\n\r\nHow are you?\r\n"

each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)


@pytest.fixture(params=MECHANISMS)
def mechanism(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The one way to show a token that Microsoft's mail servers are said to take."""
    monkeypatch.setattr(Microsoft, "sasl_mechanisms", (request.param,))
    return request.param


def way(mailbox, protocol: str, **arguments) -> Session:
    return getattr(mailbox, protocol)(**arguments)


def use(protocol: str, client) -> str:
    """Do what only whoever is signed in can do; how the server answers."""
    if protocol == "imap":
        return client.select()[0]
    return client.stat()[0] if protocol == "pop" else str(client.noop()[0])


def revoke_token(provider, mailbox) -> None:
    """The access token is void from now on, as the provider has it; nobody here knows."""
    provider.expire_access_tokens(mailbox.email)


class TestWhoIsLetIn:
    @pytest.mark.parametrize("starttls", [False, True], ids=["tls", "starttls"])
    @pytest.mark.usefixtures("mechanism")
    @each_protocol
    def test_whoever_is_connected(self, site, mailbox, protocol, starttls):
        site(starttls=starttls)
        with way(mailbox, protocol) as client:
            assert use(protocol, client) in {"OK", 0, "0", "250"}

    def test_by_the_standard_librarys_own_clients(self, mailbox):
        with mailbox.imap() as imap, mailbox.pop() as pop, mailbox.smtp() as smtp:
            assert isinstance(imap, imaplib.IMAP4_SSL)
            assert isinstance(pop, poplib.POP3_SSL)
            assert isinstance(smtp, smtplib.SMTP_SSL)

    def test_reads_mail(self, dovecot, mailbox):
        dovecot.deliver(mailbox.email, MESSAGE)
        with mailbox.imap() as client:
            client.select()
            assert b"Subject: hello" in client.fetch("1", "(RFC822)")[1][0][1]
        with mailbox.pop() as client:
            assert b"Subject: hello" in client.retr(1)[1]

    def test_sends_mail(self, dovecot, mailbox):
        with mailbox.smtp() as client:
            client.sendmail(mailbox.email, ["grace@example.com"], MESSAGE)
        [taken] = dovecot.sink.messages
        assert (taken.sender, taken.recipients) == (mailbox.email, ("grace@example.com",))

    def test_by_imapclient(self, dovecot, mailbox):
        pytest.importorskip("imapclient", reason="IMAPClient is not installed")
        dovecot.deliver(mailbox.email, MESSAGE)
        with mailbox.imap_client() as client:
            client.select_folder("INBOX")
            assert client.search() == [1]

    @pytest.mark.parametrize("name", ["ada+lists", "a=b", "a,b"])
    @pytest.mark.usefixtures("mechanism")
    def test_66_whose_address_is_odd(self, site, connect, name):
        with connect(email=f"{name}@example.com").imap() as client:
            assert client.select()[0] == "OK"

    def test_messages_are_deleted_when_a_pop_session_ends_well(self, dovecot, mailbox):
        dovecot.deliver(mailbox.email, MESSAGE)
        with contextlib.suppress(KeyError), mailbox.pop() as client:
            client.dele(1)
            raise KeyError
        with mailbox.pop() as client:
            assert client.stat()[0] == 1
            client.dele(1)
        with mailbox.pop() as client:
            assert client.stat()[0] == 0

    @each_protocol
    def test_is_hung_up_on_however_the_block_ends(self, mailbox, protocol):
        with pytest.raises(KeyError), way(mailbox, protocol) as client:
            raise KeyError
        assert client.sock is None or client.sock.fileno() == -1
        with way(mailbox, protocol) as client:
            pass
        assert client.sock is None or client.sock.fileno() == -1


@pytest.mark.usefixtures("mechanism")
class TestATokenThatIsRefused:
    @each_protocol
    def test_70_is_replaced_once_and_the_session_goes_on(self, provider, mailbox, posts, protocol):
        mailbox.get_access_token()
        revoke_token(provider, mailbox)
        with way(mailbox, protocol) as client:
            use(protocol, client)
        assert posts(mailbox) == 1

    @each_protocol
    def test_is_asked_for_anew_at_each_reconnect(self, provider, mailbox, posts, protocol):
        session = way(mailbox, protocol)
        with session as client:
            use(protocol, client)
        stored(mailbox).refresh_now()
        with session as client:
            use(protocol, client)
        assert posts(mailbox) == 1

    @each_protocol
    def test_70_is_not_replaced_in_a_loop(self, site, mailbox, posts, protocol):
        """Another's mailbox: no token helps."""
        for _ in range(3):
            with pytest.raises(SignInRefused) as refused, way(mailbox, protocol, user="grace@example.com"):
                pytest.fail("signed in")
            assert refused.value.reason == "refused"
        assert posts(mailbox) == 1
        assert stored(mailbox).status == "connected"

    def test_tells_the_truth_where_the_grant_is_dead(self, provider, mailbox):
        mailbox.get_access_token()
        provider.end_grants(mailbox.email)
        with pytest.raises(ReauthRequired), mailbox.imap():
            pytest.fail("signed in")

    @each_protocol
    def test_71_of_no_use_for_a_mailbox_says_whom_to_ask(self, mailbox, protocol):
        with pytest.raises(SignInRefused) as refused, way(mailbox, protocol, user="team@example.com"):
            pytest.fail("signed in")
        told = str(refused.value)
        assert "team@example.com" in told
        assert "exists by that name" in told
        assert refused.value.protocol == protocol.upper()

    @each_protocol
    def test_lacks_the_scope(self, site, connect, protocol):
        """The server's words are those for any other token; the grant knows what it lacks."""
        others = [
            f"{MICROSOFT}/{scope}"
            for name, scope in (
                ("imap", "IMAP.AccessAsUser.All"),
                ("pop", "POP.AccessAsUser.All"),
                ("smtp", "SMTP.Send"),
            )
            if name != protocol
        ]
        site(SCOPES=["openid", "profile", "email", "offline_access", *others])
        mailbox = connect()
        with pytest.raises(SignInRefused) as refused, way(mailbox, protocol):
            pytest.fail("signed in")
        assert refused.value.reason == "scope"
        assert '"SCOPES"' in str(refused.value)
        assert stored(mailbox).status == "connected"


class TestTheGrantIsUntouched:
    @pytest.mark.usefixtures("mechanism")
    @each_protocol
    def test_where_the_server_cannot_ask(self, provider, mailbox, posts, protocol):
        mailbox.get_access_token()
        provider.fail_next(2, Fault.html(503), endpoint="introspect")
        with pytest.raises(MailServerUnavailable) as unavailable, way(mailbox, protocol):
            pytest.fail("signed in")
        assert unavailable.value.reason == "unavailable"
        assert posts(mailbox) == 0

    @each_protocol
    def test_where_it_is_down(self, dovecot, mailbox, posts, protocol):
        dovecot.stop()
        with pytest.raises(MailServerUnavailable) as unavailable, way(mailbox, protocol):
            pytest.fail("signed in")
        assert unavailable.value.reason == "refused"
        assert posts(mailbox) == 0

    @each_protocol
    def test_where_its_certificate_is_anothers(self, site, dovecot, mailbox, posts, protocol):
        site(host=dovecot.wrong_host)
        with pytest.raises(MailServerUnavailable) as unavailable, way(mailbox, protocol):
            pytest.fail("signed in")
        assert unavailable.value.reason == "tls"
        assert posts(mailbox) == 0

    @each_protocol
    def test_where_it_is_restarted_in_the_middle(self, dovecot, mailbox, protocol):
        session = way(mailbox, protocol)
        with contextlib.suppress(*BROKEN), session as client:
            dovecot.restart()
            use(protocol, client)
            use(protocol, client)
            pytest.fail("the session lived on")
        with session as client:
            use(protocol, client)

    def test_where_no_server_is_named(self, site, mailbox):
        site(IMAP=None)
        with pytest.raises(ConfigurationError, match="names no server"), mailbox.imap():
            pytest.fail("signed in")

    @each_protocol
    def test_where_a_private_host_is_not_listed(self, site, mailbox, protocol):
        site(ours={"PRIVATE_HOSTS": ["127.0.0.1"]})
        with pytest.raises(ConfigurationError, match="PRIVATE_HOSTS"), way(mailbox, protocol):
            pytest.fail("signed in")
