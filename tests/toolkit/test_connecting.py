"""A mailbox is connected at a provider of which we know no more than its issuer."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from django.urls import reverse

from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import ConnectAttempt, MailCredentials
from tests.toolkit.provider.people import ADA, GRACE
from tests.toolkit.server import Toolkit
from tests.toolkit.visitor import Visitor

pytestmark = pytest.mark.django_db


def refused(code: str) -> str:
    return reverse("mail_oauth:refused", args=["toolkit", code])


class TestByDiscovery:
    def test_the_mailbox_is_connected_as_the_id_token_says(self, visitor: Visitor, toolkit: Toolkit):
        reply = visitor.connect()
        assert reply["Location"] == reverse("mail_oauth:mailboxes")
        row = MailCredentials.objects.get()
        assert (row.user, row.provider, row.status) == (visitor.user, "toolkit", Status.CONNECTED)
        assert (row.issuer, row.email, row.email_verified) == (toolkit.url, "ada@example.com", True)
        assert row.subject
        assert row.scopes == ("openid", "email", "offline_access")
        assert toolkit.accepts(row.get_access_token().reveal())
        assert toolkit.keeps(row.open_refresh_token().reveal())
        assert not ConnectAttempt.objects.exists()

    def test_each_public_document_is_fetched_once(self, visitor: Visitor, toolkit: Toolkit):
        visitor.connect()
        visitor.connect()
        assert toolkit.calls("/.well-known/openid-configuration") == [200]
        assert toolkit.calls("/.well-known/jwks.json") == [200]
        assert toolkit.calls("/token/", "authorization_code") == [200, 200]
        assert toolkit.calls("/userinfo/") == [], "the id_token says it all"

    def test_the_callback_names_the_issuer(self, visitor: Visitor, toolkit: Toolkit):
        callback = visitor.answer(visitor.start())
        assert parse_qs(urlsplit(callback).query)["iss"] == [toolkit.url]
        reply = visitor.follow(callback.replace("iss=", "not="))
        assert reply["Location"] == refused("wrong_issuer")
        assert toolkit.calls("/token/", "authorization_code") == []

    @pytest.mark.parametrize("client_auth", ["post", "basic"])
    def test_a_secret_of_odd_characters_is_understood(self, visitor: Visitor, configure, client_auth):
        configure(CLIENT_AUTH=client_auth)
        visitor.connect()
        assert MailCredentials.objects.get().refresh_now()

    def test_without_pkce_we_are_refused(self, visitor: Visitor, configure):
        configure(USES_PKCE=False)
        callback = visitor.answer(visitor.start())
        assert "error=invalid_request&error_description=Code+challenge+required" in callback
        assert visitor.follow(callback)["Location"] == refused("provider_error")


class TestUserinfo:
    def test_names_the_address_that_the_id_token_leaves_out(self, visitor: Visitor, toolkit: Toolkit):
        visitor.connect(person=GRACE)
        assert MailCredentials.objects.get().email == "grace@example.com"
        assert MailCredentials.objects.get().email_verified
        assert toolkit.calls("/userinfo/") == [200]


class TestAnotherSigningKey:
    def test_is_fetched_and_does_not_matter_to_refreshes(self, visitor: Visitor, toolkit: Toolkit):
        """Our process knows the old key; the provider's new process has, and publishes, another."""
        visitor.connect()
        toolkit.stop()
        toolkit.start()
        assert toolkit.accepts(MailCredentials.objects.get().refresh_now().reveal())
        assert toolkit.calls("/.well-known/jwks.json") == [200]
        visitor.connect()
        kinds = list(MailCredentials.objects.get().events.order_by("pk").values_list("kind", flat=True))
        assert kinds == [EventKind.CONNECTED, EventKind.REFRESHED, EventKind.RECONNECTED]
        assert toolkit.calls("/.well-known/jwks.json") == [200, 200]


class TestARefusal:
    def test_of_the_user_connects_nothing(self, visitor: Visitor, toolkit: Toolkit):
        callback = visitor.answer(visitor.start(), "Cancel")
        assert "error=access_denied" in callback
        assert "iss=" not in callback, "although discovery promises it"
        reply = visitor.follow(callback)
        assert reply["Location"] == refused("declined")
        assert b"You did not allow access" in visitor.client.get(reply["Location"]).content
        assert not MailCredentials.objects.exists()
        assert not toolkit.live_tokens

    def test_of_the_user_leaves_a_connected_mailbox_alone(
        self, mailbox: MailCredentials, visitor: Visitor, toolkit: Toolkit
    ):
        reply = visitor.follow(visitor.answer(visitor.start(mailbox=str(mailbox.pk)), "Cancel"))
        assert refused("declined") in reply["Location"]
        row = MailCredentials.objects.get()
        assert (row.status, row.generation) == (Status.CONNECTED, mailbox.generation)
        assert toolkit.accepts(row.refresh_now().reveal())

    def test_of_our_secret_is_not_the_users_to_mend(self, visitor: Visitor, toolkit: Toolkit, configure):
        configure(CLIENT_SECRET="rolled over")
        reply = visitor.connect()
        assert reply["Location"] == refused("misconfigured")
        assert toolkit.calls("/token/", "authorization_code") == [401]
        assert not MailCredentials.objects.exists()


def test_another_person_does_not_take_a_mailbox_over(mailbox: MailCredentials, visitor: Visitor):
    reply = visitor.connect(person=GRACE, mailbox=str(mailbox.pk))
    assert refused("wrong_account") in reply["Location"]
    assert MailCredentials.objects.get().email == f"{ADA}@example.com"
