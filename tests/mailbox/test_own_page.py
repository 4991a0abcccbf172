"""Users have their own mailbox send itself a message, and are told in their words what came of it."""

from __future__ import annotations

import pytest
from django.contrib.messages import get_messages
from django.core.cache import cache
from django.urls import reverse

from mail_oauth.connect.disconnect import disconnect
from mail_oauth.upkeep.self_tests import MOST_AN_HOUR
from tests.mailbox.scripted import saying, smtp
from tests.services.dovecot_files import MICROSOFT

pytestmark = pytest.mark.django_db

PAGE = "/mail/"


def send(browser, mailbox):
    return browser.client.post(reverse("mail_oauth:send_test", args=[mailbox.pk]))


def said(response) -> str:
    *_, message = get_messages(response.wsgi_request)  # nobody has looked at those before it
    return f"{message.level_tag}: {message}"


def test_the_message_arrives(surfer, mailbox, dovecot):
    page = surfer.client.get(PAGE).content.decode()
    assert f'action="/mail/test/{mailbox.pk}/"' in page
    reply = send(surfer, mailbox)
    assert (reply.status_code, reply["Location"]) == (302, PAGE)
    assert said(reply) == f"success: A test message to {mailbox.email} is on its way."
    [taken] = dovecot.sink.messages
    assert (taken.sender, taken.recipients) == (mailbox.email, (mailbox.email,))


@pytest.mark.parametrize(
    ("answer", "then", "words"),
    [
        ("535 5.7.139 SmtpClientAuthentication is disabled for the Tenant.", {}, "(SMTP) is switched off for"),
        ("535 5.7.3 unsuccessful", {}, "the mail server did not let this site in"),
        ("454 4.7.0 Temporary authentication failure", {}, "try again later"),
        ("235 in", {"MAIL": ["550 5.7.60 no permissions"]}, "did not take the test message"),
        ("235 in", {"MAIL": ["454 4.7.1 Later"]}, "try again later"),
    ],
)
def test_why_it_was_not_sent(surfer, connect, serve, answer, then, words):
    serve("smtp", smtp(saying("smtp", answer), then={"RSET": ["250 ok"], **then}))
    told = said(send(surfer, connect()))
    assert told.startswith("warning: ")
    assert words in told
    assert "Tenant" not in told


def test_why_a_mailbox_that_must_be_reconnected_sends_nothing(surfer, connect, site, provider):
    mailbox = connect(seconds_left=-10)
    provider.revoke(mailbox.email)
    assert (
        said(send(surfer, mailbox)) == f"warning: The test message was not sent: please reconnect {mailbox.email}."
    )


def test_what_the_operators_have_to_mend_is_said_with_its_code(surfer, connect, serve):
    serve("smtp", smtp(saying("smtp", "235 in"), "PLAIN"))
    assert "tell the operators of this site (no_mechanism)" in said(send(surfer, connect()))


def test_there_is_no_button_where_nothing_can_be_sent(surfer, site, connect, settings):
    scopes = ["openid", "profile", "email", "offline_access", f"{MICROSOFT}/IMAP.AccessAsUser.All"]
    site(SCOPES=scopes)
    mailbox = connect()
    assert b"/mail/test/" not in surfer.client.get(PAGE).content
    assert said(send(surfer, mailbox)).startswith("warning: No mail can be sent through")
    site()
    connect(use_oauth=False)
    site(SMTP=None)
    connect()
    assert b"/mail/test/" not in surfer.client.get(PAGE).content


def test_only_so_many_in_an_hour(surfer, browser_of, other_user, connect, dovecot, site):
    mailbox, theirs = connect(), connect(owner=other_user)
    for _ in range(MOST_AN_HOUR):
        assert said(send(surfer, mailbox)).startswith("success: ")
    assert said(send(surfer, mailbox)).startswith("warning: No more test messages for now")
    assert said(send(surfer, connect())).startswith("warning: No more"), "whichever mailbox it is"
    assert said(send(browser_of(other_user), theirs)).startswith("success: ")
    assert len(dovecot.sink.messages) == MOST_AN_HOUR + 1
    cache.clear()  # as after an hour
    assert said(send(surfer, mailbox)).startswith("success: ")


@pytest.mark.redis
def test_none_where_the_cache_cannot_count_them(surfer, mailbox, redis_cache, dovecot):
    redis_cache.stop()
    assert said(send(surfer, mailbox)).startswith("warning: No more test messages for now")
    assert dovecot.sink.messages == []


def test_nobody_elses_mailbox(surfer, connect, other_user, site, dovecot):
    theirs, gone = connect(owner=other_user), connect()
    disconnect(gone)
    assert [send(surfer, row).status_code for row in (theirs, gone)] == [404, 404]
    assert dovecot.sink.messages == []


def test_it_wants_a_post_with_a_token_of_the_form_and_a_user(surfer, client, mailbox, dovecot):
    url = reverse("mail_oauth:send_test", args=[mailbox.pk])
    assert surfer.client.get(url).status_code == 405
    assert client.post(url)["Location"].startswith("/admin/login/")
    surfer.client.handler.enforce_csrf_checks = True
    assert send(surfer, mailbox).status_code == 403
    assert dovecot.sink.messages == []
