"""Mail of a mailbox without a user: by IMAP, POP and SMTP on a real Dovecot, and over HTTP as Graph and Gmail take it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.mail import EmailMessage
from django.core.management import CommandError, call_command

from mail_oauth.backends import EmailBackend
from mail_oauth.exceptions import MailboxDisconnected, SignInRefused
from mail_oauth.testing.mailservers import MailServers
from mail_oauth.tokens import MailEndpoint
from tests.mailbox.api import MailApi
from tests.mailbox.conftest import mail_servers

pytestmark = pytest.mark.django_db

ADA, BOB = "ada@contoso.example", "bob@contoso.example"


@pytest.fixture
def ours(site, settings):
    """`ours(**settings)` changes them."""

    def change(**changes: Any) -> None:
        settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, **changes}

    return change


@pytest.fixture
def on_dovecot(site, ours, dovecot):
    dovecot.trust("microsoft", app=True)
    site.change("work", **mail_servers(dovecot))
    ours(PRIVATE_HOSTS=["127.0.0.1", dovecot.host], CA_BUNDLE=str(dovecot.ca_file))
    return dovecot


@pytest.fixture
def mail(site, settings, provider):
    """The testing kit's own mail servers, which know into which mailboxes the app is let."""
    with MailServers(provider, seeded=True) as running:
        site.change("work", POP=None)
        settings.MAIL_OAUTH = running.settings(settings.MAIL_OAUTH, "work")
        yield running


def trial(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
    out = io.StringIO()
    try:
        call_command("mail_oauth", "test_mailbox", *arguments, "--json", stdout=out)
    except CommandError as error:
        return error.returncode, json.loads(out.getvalue())["steps"]
    return 0, json.loads(out.getvalue())["steps"]


class TestOnDovecot:
    def test_one_token_opens_every_mailbox_by_every_protocol(self, on_dovecot, add, asked):
        for address in (ADA, BOB):
            on_dovecot.deliver(address, f"Subject: for {address}\r\n\r\nHello.\r\n".encode())
        for mailbox in add("work", ADA, BOB):
            with mailbox.imap() as imap:
                imap.select("INBOX", readonly=True)
                [(_, header)] = [part for part in imap.fetch("1", "(BODY[HEADER])")[1] if isinstance(part, tuple)]
                assert f"for {mailbox.email}" in header.decode()
            with mailbox.pop() as pop:
                assert pop.stat()[0] == 1
            with mailbox.smtp() as smtp:
                assert smtp.noop()[0] == 250
        assert asked() == [None]

    def test_the_command_goes_through_every_step(self, on_dovecot, add):
        add("work", ADA)
        code, steps = trial(ADA)
        assert code == 0
        assert {step["outcome"] for step in steps} == {"ok"}
        assert {step["protocol"] for step in steps} == {"", "IMAP", "POP", "SMTP"}

    def test_mail_goes_by_the_address_that_the_site_names(self, on_dovecot, add):
        add("work", ADA)
        message = EmailMessage("Hello", "How are you?", ADA, ["grace@example.com"])
        assert EmailBackend(mailbox=ADA).send_messages([message]) == 1
        assert "How are you?" in on_dovecot.sink.messages[-1].content.decode()

    def test_a_users_from_email_chooses_no_mailbox_that_is_nobodys(self, on_dovecot, add, user):
        add("work", ADA)
        message = EmailMessage("Hello", "How are you?", ADA, ["grace@example.com"])
        with pytest.raises(MailboxDisconnected):
            EmailBackend(user=user).send_messages([message])
        with pytest.raises(MailboxDisconnected):
            EmailBackend().send_messages([EmailMessage("Hello", "?", "", ["grace@example.com"])])


class TestAMailboxThatTheAppIsNotLetInto:
    def test_says_who_must_act_and_costs_others_nothing(self, mail, provider, add, asked):
        provider.register_app(mailboxes=[ADA])
        ada, bob = add("work", ADA, BOB)
        with pytest.raises(SignInRefused, match="Add-MailboxPermission"), bob.imap():
            pass
        with ada.imap() as imap:
            assert imap.select("INBOX")[0] == "OK"
        assert asked() == [None, None], "the token was replaced once, in case it was to blame"
        with pytest.raises(SignInRefused), bob.imap():
            pass
        assert asked() == [None, None], "and not again for the same mailbox"
        assert bob.is_connected

    def test_fails_on_trial(self, mail, provider, add):
        provider.register_app(mailboxes=[ADA])
        add("work", ADA, BOB)
        assert trial(ADA)[0] == 0
        code, steps = trial(BOB)
        assert code == 1
        assert [(step["protocol"], step["step"]) for step in steps if step["outcome"] == "failed"] == [
            ("IMAP", "sign_in"),
            ("SMTP", "sign_in"),
        ]

    def test_nor_by_a_role_that_the_app_lacks(self, mail, provider, add):
        provider.register_app(roles=["https://outlook.office.com/IMAP.AccessAsApp"])
        mailbox = add("work", ADA)
        with mailbox.imap():
            pass
        with pytest.raises(SignInRefused, match="administrator lets the app"), mailbox.smtp():
            pass


class TestOverHttp:
    def test_graph_is_told_whose_mailbox_sends(self, site, provider, add, asked):
        with MailApi(provider, "https://graph.microsoft.com/Mail.Send", status=202, encoded=True) as api:
            place = MailEndpoint(
                url=api.url + "/v1.0/{mailbox}/sendMail", resource="graph", content_type="text/plain", base64=True
            )
            site.change("work", MAIL_ENDPOINT=place, SENDING="http")
            for mailbox in add("work", ADA, BOB):
                message = EmailMessage("Hello", "How are you?", mailbox.email, ["grace@example.com"])
                assert mailbox.email_connection().send_messages([message]) == 1
        assert [each.path for each in api.messages] == [f"/v1.0/users/{each}/sendMail" for each in (ADA, BOB)]
        assert asked() == [None], "one token for Graph serves both"

    def test_gmail_takes_the_mailboxs_own_token(self, site, provider, add):
        with MailApi(provider, "https://mail.google.com/", status=200, encoded=False) as api:
            place = MailEndpoint(
                url=api.url + "/users/me/messages/send", resource="mail", content_type="message/rfc822"
            )
            site.change("domain", MAIL_ENDPOINT=place, SENDING="http")
            mailbox = add("domain", "ada@example.com")
            message = EmailMessage("Hello", "How are you?", mailbox.email, ["grace@example.com"])
            assert mailbox.email_connection().send_messages([message]) == 1
        assert len(api.messages) == 1
