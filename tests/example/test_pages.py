"""A connected mailbox's page: its newest messages, and sending one; each user's own, and whatever the mail says."""

from __future__ import annotations

import pytest
from django.urls import reverse

from tests.mailboxes import stored

pytestmark = pytest.mark.django_db


@pytest.fixture
def mailbox(site, mail, connect):
    return connect()


@pytest.fixture
def visitor(client, user):
    client.force_login(user)
    return client


def page_of(mailbox) -> str:
    return reverse("messages", args=[mailbox.pk])


def letter(
    subject: str, *, sender: str = "Grace <grace@example.net>", date: str = "Mon, 6 May 2024 10:00:00 +0200"
):
    return f"From: {sender}\r\nSubject: {subject}\r\nDate: {date}\r\n\r\nHow are you?\r\n".encode()


def send(visitor, mailbox, **changes):
    fields = {"to": "grace@example.net", "subject": "Hello", "text": "How are you?", **changes}
    return visitor.post(page_of(mailbox), fields)


class TestTheNewestMessages:
    def test_are_shown_with_sender_subject_and_date(self, mail, mailbox, visitor):
        mail.deliver(mailbox.email, letter("=?utf-8?q?Gr=C3=BC=C3=9Fe?="))
        page = visitor.get(page_of(mailbox)).content.decode()
        for told in ("Grüße", "Grace", "grace@example.net", "6 May 2024, 08:00 UTC"):
            assert told in page

    def test_are_the_newest_twenty_newest_first(self, mail, mailbox, visitor):
        for number in range(25):
            mail.deliver(mailbox.email, letter(f"letter-{number:02}"))
        subjects = [each.subject for each in visitor.get(page_of(mailbox)).context["letters"]]
        assert subjects == [f"letter-{number:02}" for number in range(24, 4, -1)]

    def test_stay_unseen(self, mail, mailbox, visitor):
        mail.deliver(mailbox.email, letter("hello"))
        visitor.get(page_of(mailbox))
        with mailbox.imap() as imap:
            imap.select(readonly=True)
            assert imap.search(None, "UNSEEN") == ("OK", [b"1"])

    def test_are_text_whatever_they_say(self, mail, mailbox, visitor):
        mail.deliver(mailbox.email, letter("<script>alert(1)</script>", sender='"<b>x</b>" <"><i>@example.net>'))
        mail.deliver(mailbox.email, letter("=?utf-8?b?PHNjcmlwdD5hbGVydCgyKTwvc2NyaXB0Pg==?="))
        page = visitor.get(page_of(mailbox)).content.decode()
        assert "&lt;script&gt;alert(1)" in page
        assert "&lt;script&gt;alert(2)" in page
        assert not any(tag in page for tag in ("<script", "<b>x", "<i>"))

    def test_may_lack_everything(self, mail, mailbox, visitor):
        mail.deliver(mailbox.email, b"\r\n")
        page = visitor.get(page_of(mailbox)).content.decode()
        assert "(no subject)" in page
        assert "no date" in page

    def test_of_an_empty_mailbox(self, mailbox, visitor):
        assert "There is no message yet." in visitor.get(page_of(mailbox)).content.decode()


class TestSending:
    def test_sends_and_leads_back_so_that_a_reload_sends_nothing(self, mail, mailbox, visitor):
        reply = send(visitor, mailbox)
        assert (reply.status_code, reply["Location"]) == (302, page_of(mailbox))
        [taken] = mail.taken
        assert (taken.sender, taken.recipients) == (mailbox.email, ("grace@example.net",))
        assert b"Subject: Hello" in taken.content
        assert "Your message to grace@example.net is sent." in visitor.get(page_of(mailbox)).content.decode()
        assert len(mail.taken) == 1

    def test_to_oneself_appears(self, mailbox, visitor):
        send(visitor, mailbox, to=mailbox.email, subject="Grüße 🌧")
        assert [each.subject for each in visitor.get(page_of(mailbox)).context["letters"]] == ["Grüße 🌧"]

    @pytest.mark.parametrize("field", ["to", "subject", "text"])
    def test_nothing_that_lacks_something(self, mail, mailbox, visitor, field):
        page = send(visitor, mailbox, **{field: " "})
        assert page.status_code == 200
        assert field in page.context["form"].errors
        assert mail.taken == []

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_no_header_of_the_senders_choice(self, mail, mailbox, visitor, end):
        send(visitor, mailbox, subject=f"Hello{end}Bcc: mallory@example.net")
        [taken] = mail.taken
        assert taken.recipients == ("grace@example.net",)
        assert b"Subject: Hello Bcc: mallory@example.net" in taken.content

    def test_needs_the_forms_token(self, mail, mailbox, user):
        from django.test import Client

        strict = Client(enforce_csrf_checks=True)
        strict.force_login(user)
        assert send(strict, mailbox).status_code == 403
        assert mail.taken == []


class TestErrors:
    def test_say_what_they_say(self, provider, mailbox, visitor):
        provider.end_grants(mailbox.email)
        provider.expire_access_tokens(mailbox.email)
        page = visitor.get(page_of(mailbox))
        assert page.status_code == 200
        assert stored(mailbox).status == "needs_reauth"
        assert "connect" in page.context["failed"]
        assert page.context["failed"] in page.content.decode().replace("&#x27;", "'").replace("&quot;", '"')

    def test_where_the_servers_are_down(self, mail, mailbox, visitor):
        mail.stop()
        page = visitor.get(page_of(mailbox))
        assert "cannot be reached by IMAP" in page.content.decode()
        page = send(visitor, mailbox, text="what I wrote")
        assert "cannot be reached by SMTP" in page.content.decode()
        assert "what I wrote" in page.content.decode()


class TestWhose:
    def test_are_a_users_own(self, mailbox, client, other_user):
        client.force_login(other_user)
        assert client.get(page_of(mailbox)).status_code == 404
        assert send(client, mailbox).status_code == 404

    def test_are_nobodys_who_has_not_signed_in(self, mail, mailbox, client):
        assert client.get(page_of(mailbox))["Location"].startswith("/login/")
        assert send(client, mailbox)["Location"].startswith("/login/")
        assert mail.taken == []

    def test_are_kept_in_no_cache(self, mailbox, visitor):
        assert "no-store" in visitor.get(page_of(mailbox))["Cache-Control"]

    @pytest.mark.parametrize("page", ["home", "mail_oauth:mailboxes"])
    def test_are_linked_from_the_other_pages(self, mailbox, visitor, page):
        assert f'href="{page_of(mailbox)}"' in visitor.get(reverse(page)).content.decode()
