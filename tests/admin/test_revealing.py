"""A token is shown in clear only where the site has it on, to those who may, for a reason, and never twice."""

from __future__ import annotations

import re

import pytest
from django.contrib.admin.models import LogEntry

from mail_oauth.managers.vocabulary import EventKind
from mail_oauth.models import CredentialEvent, MailCredentials
from tests.admin.conftest import page_of

REASON = "Ticket 4711: the mail host asks for it"


@pytest.fixture
def revealing(provider, settings):
    """The site has it on."""
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "REVEAL_TOKENS": True}


@pytest.fixture
def trusted(staff, signed_in):
    """The browser of somebody who may."""
    return signed_in(staff("view", "reveal"))


def ask(browser, mailbox, token="access_token", reason=REASON):
    return browser.post(page_of(mailbox, "reveal/"), {"token": token, "reason": reason})


@pytest.mark.parametrize("column", ["access_token", "refresh_token"])
def test_a_token_is_shown_for_a_reason_and_leaves_an_event(revealing, trusted, connect, column):
    mailbox = connect()
    plain = {"access_token": mailbox.open_access_token(), "refresh_token": mailbox.open_refresh_token()}[column]
    text = ask(trusted, mailbox, column).content.decode()
    assert text.count(plain.reveal()) == 1
    event = CredentialEvent.objects.get(credentials=mailbox)
    assert (event.kind, event.reason, event.note) == (EventKind.TOKEN_REVEALED, column, REASON)
    assert event.actor.is_staff
    history = trusted.get(page_of(mailbox)).content.decode()
    assert REASON in history
    assert plain.reveal() not in history


def test_nothing_keeps_the_page(revealing, trusted, connect):
    response = ask(trusted, connect())
    assert "no-store" in response.headers["Cache-Control"]
    assert response.headers["Referrer-Policy"] == "same-origin"
    assert not response.wsgi_request._messages._queued_messages


def test_the_log_of_the_admin_says_that_and_not_what(revealing, trusted, connect):
    mailbox = connect()
    ask(trusted, mailbox)
    assert LogEntry.objects.get().change_message == "token shown to staff: access_token."


def test_the_form_alone_shows_and_writes_nothing(revealing, trusted, connect):
    mailbox = connect()
    text = trusted.get(page_of(mailbox, "reveal/")).content.decode()
    assert mailbox.open_access_token().reveal() not in text
    assert not mailbox.events.exists()


@pytest.mark.parametrize("reason", ["", "   ", "because", "x" * 201, "ten letters\x00 and a NUL"])
def test_without_a_reason_nothing_is_shown(revealing, trusted, connect, reason):
    mailbox = connect()
    response = ask(trusted, mailbox, reason=reason)
    assert "errorlist" in response.content.decode()
    assert mailbox.open_access_token().reveal() not in response.content.decode()
    assert not mailbox.events.exists()


@pytest.mark.parametrize("token", ["", "id", "access_token_"])
def test_nothing_but_tokens_is_shown(revealing, trusted, connect, token):
    assert "errorlist" in ask(trusted, connect(), token).content.decode()


def test_it_is_off_unless_the_site_switches_it_on(root, connect):
    mailbox = connect()
    assert "reveal" not in root.get(page_of(mailbox)).content.decode()
    assert root.get(page_of(mailbox, "reveal/")).status_code == 403
    assert ask(root, mailbox).status_code == 403
    assert not mailbox.events.exists()


@pytest.mark.parametrize("names", [("view", "change", "delete"), ("reveal",), ("view",)])
def test_it_wants_the_permission_and_that_to_view(revealing, connect, staff, signed_in, names):
    mailbox = connect()
    browser = signed_in(staff(*names))
    assert ask(browser, mailbox).status_code == 403
    if "view" in names:
        assert "/reveal/" not in browser.get(page_of(mailbox)).content.decode()


def test_who_may_has_a_link_to_it(revealing, trusted, connect):
    mailbox = connect()
    assert page_of(mailbox, "reveal/") in trusted.get(page_of(mailbox)).content.decode()


def test_a_token_that_cannot_be_read_is_said_to_be_so(revealing, trusted, connect, settings):
    mailbox = connect()
    settings.FERNET_KEYS = ["another key"]
    text = ask(trusted, mailbox).content.decode()
    assert "No token is shown." in text
    assert "cannot be decrypted" in text


def test_a_mailbox_without_one_says_so(revealing, trusted, connect):
    mailbox = connect()
    MailCredentials.objects.filter(pk=mailbox.pk).update(access_token=None)
    assert "The mailbox has none." in ask(trusted, mailbox).content.decode()


def test_it_wants_a_form_of_this_site(revealing, trusted, connect):
    mailbox = connect()
    trusted.handler.enforce_csrf_checks = True
    assert ask(trusted, mailbox).status_code == 403
    assert not mailbox.events.exists()


def test_the_event_comes_first(revealing, trusted, connect, monkeypatch):
    """Should it not be written, nothing is shown."""
    mailbox = connect()

    def fail(*_args, **_how):
        raise RuntimeError("no room")

    monkeypatch.setattr("mail_oauth.managers.transitions.Transitions.record", fail)
    trusted.raise_request_exception = False
    response = ask(trusted, mailbox)
    assert response.status_code == 500
    assert mailbox.open_access_token().reveal() not in response.content.decode()


def test_the_page_works_under_a_strict_policy(revealing, trusted, connect):
    mailbox = connect()
    for response in (trusted.get(page_of(mailbox, "reveal/")), ask(trusted, mailbox)):
        inline = r"""\sstyle=|<style|\son[a-z]+=["']|<script(?![^>]*\ssrc=)|javascript:"""
        assert not re.search(inline, response.content.decode())


def test_the_page_costs_few_queries(revealing, root, connect, django_assert_num_queries):
    mailbox = connect()
    root.get(page_of(mailbox, "reveal/"))
    with django_assert_num_queries(3):  # session, person, mailbox with its user
        root.get(page_of(mailbox, "reveal/"))
