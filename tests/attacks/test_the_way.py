"""Each step of the flow takes one kind of request, of its own user, once; nobody fills the table."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.test import Client
from django.urls import reverse

from mail_oauth.connect.attempts import MOST_AT_ONCE
from mail_oauth.models import ConnectAttempt, MailCredentials

pytestmark = pytest.mark.django_db


@pytest.fixture
def answer(surfer) -> str:
    return surfer.consent(surfer.start(), "ada@example.com")


class TestTheTableOfConsents:
    def test_one_user_cannot_fill_it(self, surfer):
        for _ in range(MOST_AT_ONCE + 15):
            surfer.start()
        assert ConnectAttempt.objects.count() == MOST_AT_ONCE

    def test_nor_push_others_out(self, surfer, browser_of, other_user):
        callback = surfer.consent(surfer.start(), "ada@example.com")
        flood = browser_of(other_user)
        for _ in range(MOST_AT_ONCE + 5):
            flood.start()
        assert "refused" not in surfer.follow(callback)["Location"]

    def test_the_newest_survive(self, surfer):
        for _ in range(MOST_AT_ONCE):
            surfer.start()
        assert surfer.connect().status_code == 302
        assert MailCredentials.objects.exists()


class TestRequests:
    @pytest.mark.parametrize(
        "header",
        [
            {"Sec-Purpose": "prefetch"},
            {"Sec-Purpose": "Prefetch;Prerender"},
            {"Purpose": "prefetch"},
            {"X-Purpose": "preview"},
            {"X-Moz": "prefetch"},
            {"Sec-Purpose": "", "Purpose": "prefetch"},
        ],
        ids=str,
    )
    def test_a_browser_that_guesses_spends_nothing(self, surfer, answer, header):
        assert surfer.client.get(answer, headers=header).status_code == 405
        assert ConnectAttempt.objects.count() == 1
        assert surfer.follow(answer)["Location"] == reverse("mail_oauth:mailboxes")

    @pytest.mark.parametrize("method", ["head", "options", "post", "put", "patch", "delete", "trace"])
    def test_the_callback_takes_get_alone(self, surfer, answer, method):
        assert getattr(surfer.client, method)(answer).status_code == 405
        assert ConnectAttempt.objects.count() == 1

    @pytest.mark.parametrize("method", ["get", "head", "options", "put", "delete"])
    def test_the_start_takes_post_alone(self, surfer, method):
        assert getattr(surfer.client, method)(reverse("mail_oauth:start", args=["microsoft"])).status_code == 405

    @pytest.mark.parametrize("method", ["get", "head", "options", "put", "delete"])
    def test_disconnecting_takes_post_alone(self, surfer, method):
        surfer.connect()
        row = MailCredentials.objects.get()
        getattr(surfer.client, method)(reverse("mail_oauth:disconnect", args=[row.pk]))
        assert MailCredentials.objects.get().generation == row.generation

    def test_every_form_has_a_csrf_token_that_is_asked_for(self, surfer):
        surfer.connect()
        row = MailCredentials.objects.get()
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(surfer.user)
        for url in (
            reverse("mail_oauth:start", args=["microsoft"]),
            reverse("mail_oauth:disconnect", args=[row.pk]),
        ):
            assert strict.post(url, {"csrfmiddlewaretoken": "x" * 64}).status_code == 403
            assert strict.post(url, headers={"Origin": "https://evil.example"}).status_code == 403
        assert MailCredentials.objects.get().generation == row.generation

    def test_no_page_is_framed_cached_or_referred_to(self, surfer, answer):
        surfer.follow(answer)
        row = MailCredentials.objects.get()
        urls = [
            answer,  # replayed: a page of its own
            reverse("mail_oauth:mailboxes"),
            reverse("mail_oauth:disconnect", args=[row.pk]),
            reverse("mail_oauth:refused", args=["microsoft", "wrong_account"]),
        ]
        for url in urls:
            reply = surfer.client.get(url)
            assert reply["X-Frame-Options"] == "DENY", url
            assert "no-store" in reply["Cache-Control"], url
            assert reply["Referrer-Policy"] in {"same-origin", "no-referrer"}, url
            # Nothing comes from a third party; a link that leads to one tells it nothing.
            loaded = re.sub(rb'<a href="https://\S+" rel="noopener noreferrer">', b"", reply.content)
            assert b"//" not in loaded, url


class TestSessions:
    def test_a_session_that_passes_to_another_user(self, surfer, answer, other_user):
        """The cookie stays, the user changes: what the first began is not the second's."""
        surfer.client.force_login(other_user)
        assert surfer.follow(answer).status_code == 400
        assert not MailCredentials.objects.exists()

    def test_a_session_whose_user_was_swapped_in_place(self, surfer, answer, other_user):
        """As impersonation does: what ties the consent to the browser is still there, but its user is another."""
        session = surfer.client.session
        session[SESSION_KEY], session[HASH_SESSION_KEY] = str(other_user.pk), other_user.get_session_auth_hash()
        session.save()
        assert surfer.client.get(reverse("mail_oauth:mailboxes")).context["user"] == other_user
        assert surfer.follow(answer).status_code == 400
        assert not MailCredentials.objects.exists()
        assert ConnectAttempt.objects.count() == 1

    def test_a_stolen_callback_in_the_thiefs_session(self, surfer, answer, browser_of, other_user):
        """Mallory lets Ada consent and takes the code: his own session began another consent."""
        thief = browser_of(other_user)
        thief.start()
        assert thief.follow(answer).status_code == 400
        assert not MailCredentials.objects.filter(user=other_user).exists()

    def test_a_planted_callback_in_the_victims_session(self, surfer, browser_of, other_user):
        """Mallory's consent, followed by Ada: her list must not get his mailbox."""
        planted = browser_of(other_user).consent(browser_of(other_user).start(), "eve@example.com")
        surfer.start()
        assert surfer.follow(planted).status_code == 400
        assert not MailCredentials.objects.exists()

    def test_an_account_that_was_disabled_meanwhile(self, surfer, answer):
        surfer.user.is_active = False
        surfer.user.save()
        assert surfer.follow(answer).status_code == 400
        assert not MailCredentials.objects.exists()

    def test_the_same_answer_for_unknown_foreign_and_expired(self, surfer, answer, browser_of, other_user):
        foreign = browser_of(other_user).follow(answer)
        ConnectAttempt.objects.update(expires_at="2000-01-01T00:00:00Z")
        expired = surfer.follow(answer)
        unknown = surfer.follow(answer.replace("state=", "state=AAAAAAAA"))
        assert foreign.content == expired.content == unknown.content
        assert {foreign.status_code, expired.status_code, unknown.status_code} == {400}
