"""The mail goes through the site's own mail, in the user's language; what fails is tried again, and one worker sends it."""

from __future__ import annotations

import smtplib
from contextlib import contextmanager
from datetime import timedelta
from email import message_from_bytes, policy

import pytest
from django.core.mail.backends.locmem import EmailBackend as Memory
from django.db.models import F

from mail_oauth.managers.notices import LEASE
from mail_oauth.models import Episode, MailCredentials, Notice
from mail_oauth.notices.run import VAIN, send_notices
from mail_oauth.testing.mailservers import MailServers
from tests.concurrency import together
from tests.losses.passing import pass_time
from tests.notifications.conftest import AFTER, BLOCKED
from tests.services.dovecot import free_ports
from tests.services.sink import Sink

pytestmark = pytest.mark.django_db


class Refusing(Memory):
    """A mail server that refuses everything."""

    asked = 0

    def send_messages(self, messages):
        type(self).asked += 1
        raise smtplib.SMTPRecipientsRefused({messages[0].to[0]: (550, b"no such user ada@home.example")})


class Picky(Memory):
    """One that refuses a single recipient."""

    def send_messages(self, messages):
        if messages[0].to == ["ada@home.example"]:
            raise smtplib.SMTPRecipientsRefused({})
        return super().send_messages(messages)


class Dying(Memory):
    """The worker is killed when the mail has just been taken."""

    def send_messages(self, messages):
        super().send_messages(messages)
        raise SystemExit(137)


@pytest.fixture
def row(notify, connect, owner, fall) -> MailCredentials:
    """A mailbox of which its user is to be mailed now."""
    made = connect(email="ada@example.com", owner=owner)
    fall(made)
    pass_time(AFTER)
    return made


@pytest.fixture
def by(mail_by):
    """`with by(Refusing): …`: the site's mail is such a one meanwhile."""

    @contextmanager
    def meanwhile(backend):
        mail_by(f"{__name__}.{backend.__name__}")
        yield
        mail_by()

    return meanwhile


class TestWhatCannotBeSent:
    def test_is_tried_again_ever_later(self, row, by, mailoutbox, caplog):
        pauses = []
        with by(Refusing):
            for _ in range(4):
                before = Notice.objects.get().failures
                assert send_notices().failed == 1
                assert send_notices().failed == 0, "not before its pause is over"
                assert Notice.objects.get().failures == before + 1
                pauses.append(Notice.objects.get().due_at)
                pass_time(timedelta(hours=1))
        assert send_notices().mailed == 1
        assert len(mailoutbox) == 1
        assert "ada@home.example" not in caplog.text

    def test_keeps_nobody_else_waiting(self, row, by, connect, other_user, fall, later, mailoutbox):
        other_user.email = "eve@home.example"
        other_user.save()
        fall(connect(owner=other_user))
        with by(Picky):
            report = later()
        assert (report.mailed, report.failed) == (1, 1)
        assert [mail.to for mail in mailoutbox] == [["eve@home.example"]]

    def test_ends_a_run_when_nothing_can_be_sent(self, notify, connect, django_user_model, fall, by):
        users = [django_user_model.objects.create(username=f"p{n}", email=f"p{n}@home.example") for n in range(5)]
        fall(*(connect(owner=user) for user in users))
        pass_time(AFTER)
        Refusing.asked = 0
        with by(Refusing):
            assert send_notices().ended == "failing"
        assert Refusing.asked == VAIN

    def test_is_sent_again_as_the_same_mail_where_nobody_knows(self, row, by, mailoutbox):
        with by(Dying), pytest.raises(SystemExit):
            send_notices()
        assert send_notices().mailed == 0, "another worker may still be at it"
        Notice.objects.update(due_at=F("due_at") - LEASE)
        assert send_notices().mailed == 1
        first, second = mailoutbox
        assert first.message()["Message-ID"] == second.message()["Message-ID"]


class TestTheSitesMail:
    def test_is_what_carries_it(self, row, settings, mail_by):
        pytest.importorskip("aiosmtpd")
        [port] = free_ports(1)
        sink = Sink(port).start()
        mail_by("django.core.mail.backends.smtp.EmailBackend", host="127.0.0.1", port=port)
        settings.DEFAULT_FROM_EMAIL = "Site <mail@site.example>"
        try:
            assert send_notices().mailed == 1
        finally:
            sink.stop()
        [taken] = sink.messages
        assert taken.recipients == ("ada@home.example",)
        mail = message_from_bytes(taken.content, policy=policy.default)
        assert mail["From"] == "Site <mail@site.example>"
        assert mail["Auto-Submitted"] == "auto-generated"
        assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]

    def test_has_another_sender_if_the_site_says_so(self, row, notify, mailoutbox):
        notify(NOTIFY_FROM="Mailboxes <boxes@site.example>")
        send_notices()
        assert mailoutbox[0].from_email == "Mailboxes <boxes@site.example>"

    def test_is_never_the_dead_mailbox(self, row, provider, notify, mail_by):
        """Where the site's mail goes through mailboxes, nothing is asked of one that is dead, and the mail waits."""
        notify(DEFAULT_MAILBOX=str(row.pk))
        mail_by("mail_oauth.backends.EmailBackend")
        provider.clear_calls()
        assert send_notices().failed == 1
        assert provider.calls == []

    def test_may_be_another_mailbox(self, row, provider, connect, other_user, settings, mail_by):
        pytest.importorskip("aiosmtpd")
        sender = connect("google", email="noreply@site.example", owner=other_user)
        with MailServers(provider) as mail:
            settings.MAIL_OAUTH = mail.settings(
                {**settings.MAIL_OAUTH, "DEFAULT_MAILBOX": str(sender.pk), "NOTIFY_FROM": sender.email}
            )
            mail_by("mail_oauth.backends.EmailBackend")
            report = send_notices()
            assert (report.mailed, report.failed) == (1, 0)


class TestWhomTheSiteNames:
    def test_the_address_is_what_the_sites_function_says(self, row, notify, owner, mailoutbox):
        notify(NOTIFY_ADDRESS="tests.notifications.people.address")
        send_notices()
        assert mailoutbox[0].to == [f"{owner.username}@people.example"]

    def test_the_language_is_what_the_sites_function_says(self, row, notify, mailoutbox):
        notify(NOTIFY_LANGUAGE="tests.notifications.people.language")
        send_notices()
        [(html, _)] = mailoutbox[0].alternatives
        assert '<html lang="de">' in html

    def test_a_function_that_fails_keeps_its_user_waiting(self, row, notify, mailoutbox, caplog):
        notify(NOTIFY_LANGUAGE="tests.notifications.people.broken")
        assert send_notices().failed == 1
        notify(NOTIFY_LANGUAGE="")
        pass_time(timedelta(hours=1))
        assert send_notices().mailed == 1
        assert "ada@home.example" not in caplog.text


class TestTheMail:
    def test_says_what_is_to_be_done_and_by_whom(self, notify, connect, owner, fall, later, mailoutbox):
        mine, theirs = connect(email="a@example.com", owner=owner), connect(email="b@example.com", owner=owner)
        fall(mine)
        fall(theirs, fault=BLOCKED)
        later()
        [mail] = mailoutbox
        [(html, kind)] = mail.alternatives
        assert kind == "text/html"
        for body in (mail.body, html):
            assert "a@example.com" in body
            assert "Needs you" in body
            assert "Needs your administrator" in body
            assert "AADSTS53003" in body

    def test_leads_to_the_mailbox_on_its_users_own_page(self, row, mailoutbox, surfer):
        send_notices()
        [(html, _)] = mailoutbox[0].alternatives
        assert f"http://testserver/mail/#mailbox-{row.pk}" in html
        assert f'id="mailbox-{row.pk}"' in surfer.client.get("/mail/").content.decode()

    def test_escapes_what_a_user_typed_in_html_alone(self, row, mailoutbox):
        MailCredentials.objects.update(email='"<b>&"@example.com')
        send_notices()
        [mail] = mailoutbox
        [(html, _)] = mail.alternatives
        assert '"<b>&"@example.com' in mail.subject
        assert '"<b>&"@example.com' in mail.body
        assert "<b>&" not in html

    def test_holds_no_token(self, row, provider, mailoutbox):
        send_notices()
        text = mailoutbox[0].message().as_string()
        assert not any(secret in text for secret in provider.issued)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("separate_connections")
class TestManyWorkers:
    def test_send_one_mail(self, row, mailoutbox):
        reports = together(8, send_notices)
        assert sum(report.mailed for report in reports) == 1
        assert len(mailoutbox) == 1

    def test_send_each_user_one(self, notify, connect, django_user_model, fall, mailoutbox):
        users = [django_user_model.objects.create(username=f"p{n}", email=f"p{n}@home.example") for n in range(12)]
        notify(BRAKE_COUNT=1000)
        fall(*(connect(owner=user) for user in users for _ in range(2)))
        pass_time(AFTER)
        together(4, send_notices)
        assert sorted(mail.to[0] for mail in mailoutbox) == sorted(user.email for user in users)

    def test_send_one_digest(self, notify, connect, owner, fall, mailoutbox):
        notify("operators", NOTIFY_OPERATORS=["ops@site.example"])
        fall(connect(owner=owner))
        pass_time(AFTER)
        together(8, send_notices)
        assert len(mailoutbox) == 1

    def test_begin_an_episode_once_when_mailboxes_of_one_user_fall_together(
        self, notify, connect, owner, provider
    ):
        notify(BRAKE_COUNT=1000)
        rows = iter([connect(owner=owner) for _ in range(6)])
        from mail_oauth.exceptions import ReauthRequired
        from tests.notifications.conftest import REFUSED

        def fall_down():
            row = next(rows)
            provider.fail_next(1, REFUSED, email=row.email)
            with pytest.raises(ReauthRequired):
                row.refresh_now()

        together(6, fall_down)
        assert Episode.objects.count() == 6
        assert Notice.objects.get().version > 6
