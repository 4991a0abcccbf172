"""Django's mail through connected mailboxes, by a real Dovecot: what arrives, through which mailbox, and what is counted."""

from __future__ import annotations

import pickle
import smtplib
from email import message_from_bytes, policy
from typing import Any

import django
import pytest
from django.core import mail
from django.core.mail import EmailMessage, EmailMultiAlternatives

from mail_oauth.backends import EmailBackend
from mail_oauth.exceptions import ConfigurationError, MailboxDisconnected, MailServerUnavailable, ReauthRequired
from mail_oauth.models import MailCredentials

pytestmark = pytest.mark.django_db


def message(sender: str = "ada@example.com", to: str = "grace@example.com", **more: Any) -> EmailMessage:
    return EmailMessage("hello", "How are you?", sender, [to], **more)


def sign_ins(provider) -> int:
    """How often the mail server asked whose a token is."""
    return sum(call.endpoint == "introspect" for call in provider.calls)


@pytest.fixture
def sent(dovecot):
    """What was sent, oldest first."""
    return dovecot.sink.messages


@pytest.fixture
def verified(site, connect):
    """Make a mailbox whose address its provider has verified."""

    def make(**columns: Any) -> MailCredentials:
        return connect(email_verified=True, **columns)

    return make


class TestOneMailbox:
    def test_sends_a_message_whole(self, mailbox, sent):
        one = EmailMultiAlternatives(
            "Grüße ✉",
            "plain",
            f"Ada Lovelace <{mailbox.email}>",
            ["Grace <grace@bücher.example>"],
            bcc=["b@example.com"],
        )
        one.attach_alternative("<p>rich</p>", "text/html")
        one.attach("notes.txt", "Ä", "text/plain")
        assert mailbox.email_connection().send_messages([one]) == 1
        [taken] = sent
        assert taken.sender == mailbox.email
        assert taken.recipients == ("grace@xn--bcher-kva.example", "b@example.com")
        read = message_from_bytes(taken.content, policy=policy.default)
        assert read["Subject"] == "Grüße ✉"
        assert "b@example.com" not in taken.content.decode()
        assert [part.get_content_type() for part in read.walk() if not part.is_multipart()] == [
            "text/plain",
            "text/html",
            "text/plain",
        ]

    def test_uses_one_connection_for_all(self, provider, mailbox, sent):
        provider.clear_calls()
        assert mailbox.email_connection().send_messages([message(mailbox.email) for _ in range(3)]) == 3
        assert (len(sent), sign_ins(provider)) == (3, 1)

    def test_keeps_it_open_in_a_with_block(self, provider, mailbox, sent):
        provider.clear_calls()
        with mailbox.email_connection() as connection:
            for _ in range(3):
                assert connection.send_messages([message(mailbox.email)]) == 1
        assert (len(sent), sign_ins(provider)) == (3, 1)
        assert connection.connection is None

    def test_signs_in_anew_after_the_server_has_hung_up(self, dovecot, mailbox, sent):
        with mailbox.email_connection() as connection:
            dovecot.restart()
            with pytest.raises(smtplib.SMTPException):
                connection.send_messages([message(mailbox.email)])
            assert connection.send_messages([message(mailbox.email)]) == 1
        assert len(sent) == 1

    def test_sends_to_nobody_without_a_connection(self, provider, mailbox):
        provider.clear_calls()
        assert mailbox.email_connection().send_messages([]) == 0
        assert sign_ins(provider) == 0

    def test_counts_what_the_server_took(self, mailbox, sent):
        nobody = EmailMessage("hello", "…", mailbox.email, [])
        assert mailbox.email_connection().send_messages([message(mailbox.email), nobody]) == 1

    def test_says_why_it_cannot(self, dovecot, mailbox):
        dovecot.stop()
        with pytest.raises(MailServerUnavailable):
            mailbox.email_connection().send_messages([message(mailbox.email)])

    def test_says_that_its_grant_is_gone(self, provider, mailbox):
        provider.end_grants(mailbox.email)
        provider.expire_access_tokens(mailbox.email)
        with pytest.raises(ReauthRequired):
            mailbox.email_connection().send_messages([message(mailbox.email)])

    def test_fails_silently_where_it_is_told_to_and_the_log_tells(self, dovecot, mailbox, caplog):
        dovecot.stop()
        connection = mailbox.email_connection(fail_silently=True)
        assert connection.send_messages([message(mailbox.email)]) == 0
        assert "mail is not sent" in caplog.text

    def test_cannot_be_pickled(self, mailbox):
        with pytest.raises(TypeError, match="primary key"):
            pickle.dumps(mailbox.email_connection())


class TestTheBackend:
    @pytest.fixture(autouse=True)
    def ours(self, site, user):
        """The site sends as a user of its own."""
        site(ours={"SENDING_USER": user.username})

    def test_sends_through_the_mailbox_of_the_sender(self, verified, sent):
        one, other = verified(), verified()
        messages = [message(one.email), message(f"Other <{other.email}>"), message(one.email)]
        assert EmailBackend().send_messages(messages) == 3
        assert [taken.sender for taken in sent] == [one.email, other.email, one.email]

    def test_uses_one_connection_for_each_mailbox(self, provider, verified):
        one, other = verified(), verified()
        provider.clear_calls()
        EmailBackend().send_messages([message(each.email) for each in (one, other, one, other)])
        assert sign_ins(provider) == 2

    def test_keeps_them_in_a_with_block(self, provider, verified):
        one = verified()
        provider.clear_calls()
        with EmailBackend() as backend:
            backend.send_messages([message(one.email)])
            backend.send_messages([message(one.email)])
        assert sign_ins(provider) == 1
        backend.send_messages([message(one.email)])
        assert sign_ins(provider) == 2

    def test_the_domain_of_an_address_has_no_case(self, verified, sent):
        one = verified()
        name, _, domain = one.email.partition("@")
        assert EmailBackend().send_messages([message(f"{name}@{domain.upper()}")]) == 1

    @pytest.mark.parametrize("by", ["row", "pk", "text", "address", "username"])
    def test_sends_through_the_one_that_is_named(self, verified, sent, by):
        one = verified()
        named = {"row": one, "pk": one.pk, "text": str(one.pk), "address": one.email, "username": one.email}[by]
        backend = EmailBackend(**{"username" if by == "username" else "mailbox": named})
        assert backend.send_messages([message("noreply@your.site")]) == 1
        assert len(sent) == 1

    def test_sends_what_is_nobodys_through_the_default(self, site, verified, sent):
        one = verified()
        site(ours={"DEFAULT_MAILBOX": one.email})
        assert EmailBackend().send_messages([message("noreply@your.site")]) == 1
        site(ours={"DEFAULT_MAILBOX": str(one.pk)})
        assert EmailBackend().send_messages([message("noreply@your.site")]) == 1

    def test_refuses_what_is_nobodys(self, site):
        with pytest.raises(MailboxDisconnected, match=r"noreply@your\.site"):
            EmailBackend().send_messages([message("noreply@your.site")])
        assert EmailBackend(fail_silently=True).send_messages([message("noreply@your.site")]) == 0

    def test_prefers_a_mailbox_that_can_be_used(self, site, verified, django_user_model):
        site(ours={"SENDING_USER": ""})
        gone = verified(status="disconnected")
        other = django_user_model.objects.create_user("other")
        living = verified(email=gone.email, owner=other)
        assert EmailBackend()._of_address(gone.email) == living

    def test_stops_at_what_cannot_be_sent(self, verified, sent):
        one = verified()
        messages = [message(one.email), message("nobody@your.site"), message(one.email)]
        with pytest.raises(MailboxDisconnected):
            EmailBackend().send_messages(messages)
        assert len(sent) == 1
        assert EmailBackend(fail_silently=True).send_messages(messages) == 2

    def test_needs_a_query_for_each_address_and_reads_no_token(self, verified, django_assert_num_queries):
        one = verified()
        with django_assert_num_queries(1) as queries:
            EmailBackend()._of_address(one.email)
        assert "access_token" not in queries[0]["sql"]

    def test_takes_no_password(self):
        with pytest.raises(ConfigurationError, match="password"):
            EmailBackend(password="secret")


class TestASenderChoosesNobodysMailbox:
    """Whoever writes the sender of a message, on a contact form say, does not choose whose mailbox it is sent through."""

    def test_where_nobody_says_among_whose(self, site, verified, sent):
        alice = verified()
        with pytest.raises(MailboxDisconnected, match="SENDING_USER") as error:
            EmailBackend().send_messages([message(alice.email)])
        assert "DEFAULT_MAILBOX" in str(error.value)
        support = verified()
        site(ours={"DEFAULT_MAILBOX": support.email})
        assert EmailBackend().send_messages([message(alice.email)]) == 1
        assert EmailBackend()._mailbox_for(message(alice.email)) == support

    def test_of_another_user(self, verified, django_user_model):
        alice = verified()
        site = django_user_model.objects.create_user("site")
        for user in (site, site.username):
            with pytest.raises(MailboxDisconnected):
                EmailBackend(user=user).send_messages([message(alice.email)])
        for user in (alice.user, alice.user.username):
            assert EmailBackend(user=user)._mailbox_for(message(alice.email)) == alice


class TestNobodysAddressIsBorrowed:
    """Who connects a mailbox under the site's address, which they typed or gave an account of theirs, gets no mail."""

    @pytest.fixture
    def thief(self, site, connect, django_user_model):
        other = django_user_model.objects.create_user("thief")
        return connect(email="billing@your.site", owner=other)

    def test_by_an_address_that_no_provider_has_verified(self, site, thief):
        with pytest.raises(MailboxDisconnected, match="SENDING_USER"):
            EmailBackend(mailbox=thief.email).send_messages([message()])
        site(ours={"DEFAULT_MAILBOX": thief.email})
        with pytest.raises(MailboxDisconnected, match="SENDING_USER"):
            EmailBackend().send_messages([message()])

    def test_where_the_sites_own_user_has_the_same(self, site, thief, connect, user, sent):
        own = connect(email=thief.email)
        site(ours={"SENDING_USER": user.username})
        assert EmailBackend()._of_address(own.email) == own
        assert EmailBackend(user=thief.user)._of_address(own.email) == thief

    def test_where_the_sites_own_user_has_none(self, site, thief, user):
        site(ours={"SENDING_USER": user.username, "DEFAULT_MAILBOX": thief.email})
        with pytest.raises(MailboxDisconnected):
            EmailBackend().send_messages([message(thief.email)])


class TestDjangosFunctions:
    @pytest.fixture
    def configured(self, site, settings, verified):
        """A site whose mail goes through a mailbox."""
        one = verified()
        path = "mail_oauth.backends.EmailBackend"
        if django.VERSION >= (6, 1):
            settings.MAILERS = {"default": {"BACKEND": path, "OPTIONS": {"mailbox": str(one.pk)}}}
        else:
            settings.EMAIL_BACKEND = path
            site(ours={"DEFAULT_MAILBOX": str(one.pk)})
        settings.DEFAULT_FROM_EMAIL = one.email
        return one

    def test_send_mail(self, configured, sent):
        assert mail.send_mail("hello", "How are you?", None, ["grace@example.com"]) == 1
        assert [taken.sender for taken in sent] == [configured.email]

    def test_a_message_of_its_own(self, configured, sent):
        assert message(configured.email).send() == 1
        assert len(sent) == 1

    @pytest.mark.skipif(django.VERSION < (6, 1), reason="MAILERS came with Django 6.1")
    def test_a_mailer_by_name(self, configured, settings, sent):
        options = {"mailbox": configured.email, "fail_silently": True, "timeout": 20}
        settings.MAILERS = {**settings.MAILERS, "team": {**settings.MAILERS["default"], "OPTIONS": options}}
        assert message(configured.email).send(using="team") == 1
        assert mail.mailers["team"].alias == "team"

    @pytest.mark.skipif(django.VERSION < (6, 1), reason="MAILERS came with Django 6.1")
    def test_an_unknown_option_is_refused(self, configured, settings):
        settings.MAILERS = {"default": {**settings.MAILERS["default"], "OPTIONS": {"mailbux": "x"}}}
        with pytest.raises(mail.InvalidMailer, match="mailbux"):
            message(configured.email).send()
