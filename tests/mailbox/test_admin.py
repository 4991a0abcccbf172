"""Staff with the permission can have mailboxes signed in to, and see each step."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client

from mail_oauth.managers.vocabulary import EventKind
from mail_oauth.models import MailCredentials
from tests.admin.conftest import CHANGELIST, page_of
from tests.telling import said

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser_of_staff():
    """The browser of somebody of the staff, with the named permissions."""

    def make(*names: str) -> Client:
        person = User.objects.create_user(f"staff-{'-'.join(names)}", is_staff=True)
        codenames = [f"{name}_mailcredentials" for name in names]
        person.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client = Client()
        client.force_login(person)
        return client

    return make


def press(browser: Client, mailbox: MailCredentials) -> Any:
    return browser.post(page_of(mailbox, "operation/test_sign_in/"))


def act(browser: Client, *mailboxes: MailCredentials) -> Any:
    selected = [str(mailbox.pk) for mailbox in mailboxes]
    return browser.post(CHANGELIST, {"action": "test_sign_in", "_selected_action": selected, "confirmed": "yes"})


def test_each_step_is_shown(browser_of_staff, mailbox, dovecot, provider):
    browser = browser_of_staff("view", "test_sign_in")
    response = press(browser, mailbox)
    assert response.url == page_of(mailbox)
    page = browser.get(response.url).content.decode()
    assert f"<bdi>{mailbox.email}</bdi>: sign-in tested: it works by IMAP, POP, SMTP.<br>" in page
    lines = re.findall("<br>(\N{CHECK MARK}.*?)(?=<)", page)
    assert len(lines) == 12
    assert any("IMAP look into the mailbox: 1 folder, 0 messages in INBOX (" in line for line in lines)
    assert not any(secret in page for secret in provider.issued)
    assert dovecot.sink.messages == [], "nothing is sent"


def test_what_fails_is_shown_with_who_must_act(browser_of_staff, site, dovecot, mailbox):
    site(host=dovecot.wrong_host)
    [message] = said(press(browser_of_staff("view", "test_sign_in"), mailbox))
    assert message.startswith(f"{mailbox.email}: sign-in tested, and failed: IMAP TLS, POP TLS, SMTP TLS.<br>")
    assert "\N{BALLOT X} IMAP TLS: 127.0.0.2 cannot be reached by IMAP (tls)" in message
    assert "\N{EN DASH} IMAP sign-in: skipped: TLS failed" in message


def test_nothing_that_a_row_or_a_setting_holds_is_markup(browser_of_staff, site, connect):
    site(POP=None, SMTP=None, NAME="<b>Mail</b>")
    browser = browser_of_staff("view", "test_sign_in")
    mailbox = connect(email='"<i>ada</i>"@example.com')
    page = browser.get(press(browser, mailbox).url).content.decode()
    assert "&lt;b&gt;Mail&lt;/b&gt; names no POP server" in page
    assert "<b>Mail" not in page
    assert "<i>ada" not in page


def test_it_is_logged_in_short_and_leaves_an_event(browser_of_staff, mailbox):
    press(browser_of_staff("view", "test_sign_in"), mailbox)
    entry = LogEntry.objects.get()
    assert entry.change_message == "Test sign-in: sign-in tested: it works by IMAP, POP, SMTP."
    event = mailbox.events.get(kind=EventKind.SIGN_IN_TESTED)
    assert (event.actor, event.reason) == (entry.user, "")


def test_the_event_of_a_failure_has_its_reason(browser_of_staff, site, dovecot, mailbox):
    site(host=dovecot.wrong_host)
    press(browser_of_staff("view", "test_sign_in"), mailbox)
    assert mailbox.events.get(kind=EventKind.SIGN_IN_TESTED).reason == "tls"


def test_many_are_signed_in_to_from_the_list(browser_of_staff, site, connect):
    first, second = connect(email="first@example.com"), connect(email="second@example.com")
    told = said(act(browser_of_staff("view", "test_sign_in"), first, second))
    assert [text.split(":")[0] for text in told] == [first.email, second.email]


def test_who_may_do_no_more_than_change_mailboxes_may_not(browser_of_staff, mailbox):
    browser = browser_of_staff("view", "change")
    assert press(browser, mailbox).status_code == 403
    assert act(browser, mailbox).status_code == 403
    assert b"test_sign_in" not in browser.get(page_of(mailbox)).content


def test_it_wants_a_post_with_a_token_of_the_form(browser_of_staff, mailbox):
    browser = browser_of_staff("view", "test_sign_in")
    assert browser.get(page_of(mailbox, "operation/test_sign_in/")).status_code == 405
    browser.handler.enforce_csrf_checks = True
    assert press(browser, mailbox).status_code == 403
