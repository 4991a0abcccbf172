"""The help desk's life: a question comes in, is shown, is answered as the user, and the answer is part of it."""

from __future__ import annotations

from email import message_from_bytes

import pytest
from django.urls import reverse

from example_project.helpdesk.conversations import conversations, letter_of
from mail_oauth.testing.faults import Fault
from tests.mailboxes import stored

pytestmark = pytest.mark.django_db


def letter(subject="Help", id="<first@example.net>", hour=10, text="It is broken.", **fields):  # noqa: A002
    fields = {"From": "Grace <grace@example.net>", "Subject": subject, "Message-ID": id, **fields}
    fields.setdefault("Date", f"Mon, 6 May 2024 {hour}:00:00 +0000")
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"{head}\r\n{text}\r\n".encode()


@pytest.fixture
def mailbox(site, mail, connect):
    return connect()


@pytest.fixture
def agent(client, user):
    client.force_login(user)
    return client


def desk(mailbox):
    return reverse("helpdesk:desk", args=[mailbox.pk])


def first(agent, mailbox):
    return agent.get(desk(mailbox)).context["conversations"][0]


def url_of(mailbox, conversation):
    return reverse("helpdesk:conversation", args=[mailbox.pk, conversation.key])


def test_a_question_is_shown_answered_as_the_user_and_closed(mail, mailbox, agent):
    mail.deliver(mailbox.email, letter())
    assert "waits for an answer" in agent.get(desk(mailbox)).content.decode()
    url = url_of(mailbox, first(agent, mailbox))
    assert "It is broken." in agent.get(url).content.decode()

    page = agent.post(url, {"text": "Try again."}, follow=True).content.decode()

    assert "Your answer to grace@example.net is sent." in page
    assert "Try again." in page, "the answer is part of the conversation"
    [taken] = mail.taken
    sent = message_from_bytes(taken.content)
    assert (sent["From"], sent["To"]) == (mailbox.email, "grace@example.net")
    assert (sent["Subject"], sent["In-Reply-To"]) == ("Re: Help", "<first@example.net>")
    assert set(taken.recipients) == {"grace@example.net", mailbox.email}
    found = first(agent, mailbox)
    assert (found.open, len(found.letters)) == (False, 2)

    mail.deliver(
        mailbox.email,
        letter(
            "Re: Help", "<third@example.net>", 12, "Thanks!", In_Reply_To=sent["Message-ID"], Date=sent["Date"]
        ),
    )
    found = first(agent, mailbox)
    assert (found.open, len(found.letters)) == (True, 3)


def test_an_expired_token_is_no_matter(mail, provider, connect, agent, site, posts):
    mailbox = connect(seconds_left=-1)
    mail.deliver(mailbox.email, letter())
    assert first(agent, mailbox).subject == "Help"
    assert posts(mailbox) == 1


def test_a_withdrawn_grant_says_what_to_do(mail, provider, connect, agent, site):
    mailbox = connect(seconds_left=-1)
    provider.revoke(mailbox.email)
    assert "must be reconnected" in agent.get(desk(mailbox)).content.decode()
    assert stored(mailbox).status == "needs_reauth"


def test_a_providers_bad_minute_is_told(mail, provider, connect, agent, site):
    mailbox = connect(seconds_left=-1)
    provider.fail_next(1, Fault.html(502))
    assert "tried again" in agent.get(desk(mailbox)).content.decode()


def test_nobody_reads_anothers(mail, mailbox, client, other_user):
    client.force_login(other_user)
    assert client.get(desk(mailbox)).status_code == 404
    assert client.get(reverse("helpdesk:conversation", args=[mailbox.pk, "x"])).status_code == 404


def test_mail_is_text_whatever_it_says(mail, mailbox, agent):
    hostile = letter("<script>x</script>", text="<img src=x>", From='"<b>" <grace@example.net>')
    mail.deliver(mailbox.email, hostile)
    for url in (desk(mailbox), url_of(mailbox, first(agent, mailbox))):
        page = agent.get(url).content.decode()
        assert not any(each in page for each in ("<script>x", "<img src=x", "<b>&quot;"))


def test_what_names_no_address_is_not_answered(mail, mailbox, agent):
    mail.deliver(mailbox.email, letter(From="undisclosed"))
    page = agent.post(url_of(mailbox, first(agent, mailbox)), {"text": "Hello?"}).content.decode()
    assert "names no address" in page
    assert mail.taken == []


ODD = [
    b"",
    b"\xff\xfe",
    letter(Content_Type="text/plain; charset=nobody-knows"),
    letter(Content_Type="multipart/mixed; boundary=x"),
    letter(id="no id"),
    letter(References="<a@b> " * 500, Reply_To="a\r\n b <c@d>"),
    letter(Date="yesterday", Subject="=?utf-8?b?!!!?="),
]


@pytest.mark.parametrize("content", ODD)
def test_no_message_breaks_the_desk(content):
    [found] = conversations([letter_of(content)], "ada@example.com")
    assert len(found.question.follows) <= 20


def test_letters_meet_by_a_parent_that_is_not_there_and_others_do_not():
    of_one = [letter_of(letter(id=f"<{n}@x>", hour=10 + n, References="<lost@x>")) for n in range(3)]
    other = letter_of(letter(id="<other@x>", hour=20))
    assert [len(each.letters) for each in conversations([*of_one, other], "ada@example.com")] == [1, 3]
