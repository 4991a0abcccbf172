"""A disconnected mailbox leaves nothing alive at the provider."""

from __future__ import annotations

import pytest
from django.urls import reverse

from mail_oauth.managers.vocabulary import EventKind, Status
from mail_oauth.models import MailCredentials
from tests.toolkit.provider.people import GRACE
from tests.toolkit.server import Toolkit
from tests.toolkit.visitor import Visitor

pytestmark = pytest.mark.django_db


def test_no_token_lives_on(mailbox: MailCredentials, visitor: Visitor, toolkit: Toolkit):
    token = mailbox.refresh_now()
    assert len(toolkit.live_tokens) == 2
    page = visitor.client.post(reverse("mail_oauth:disconnect", args=[mailbox.pk]), follow=True)
    assert b"has withdrawn this site" in page.content
    assert not toolkit.live_tokens
    assert not toolkit.accepts(token.reveal())
    assert toolkit.calls("/revoke_token/") == [200]
    row = MailCredentials.objects.get()
    assert (row.status, row.access_token, row.refresh_token) == (Status.DISCONNECTED, None, None)
    assert [event.kind for event in row.events.order_by("pk")][-2:] == [EventKind.DISCONNECTED, EventKind.REVOKED]


def test_the_tokens_of_others_do(mailbox: MailCredentials, visitor: Visitor, toolkit: Toolkit):
    visitor.connect(person=GRACE)
    other = MailCredentials.objects.exclude(pk=mailbox.pk).get()
    visitor.client.post(reverse("mail_oauth:disconnect", args=[mailbox.pk]))
    assert toolkit.accepts(other.refresh_now().reveal())
    assert len(toolkit.live_tokens) == 2


@pytest.mark.parametrize("client_auth", ["post", "basic"])
def test_our_client_is_known_there_too(
    mailbox: MailCredentials, visitor: Visitor, toolkit, configure, client_auth
):
    configure(CLIENT_AUTH=client_auth)
    visitor.client.post(reverse("mail_oauth:disconnect", args=[mailbox.pk]))
    assert not toolkit.live_tokens


def test_a_wrong_secret_is_told_honestly(mailbox: MailCredentials, visitor: Visitor, toolkit: Toolkit, configure):
    configure(CLIENT_SECRET="rolled over")
    page = visitor.client.post(reverse("mail_oauth:disconnect", args=[mailbox.pk]), follow=True)
    assert b"did not confirm the withdrawal" in page.content
    assert toolkit.calls("/revoke_token/") == [401]
    row = MailCredentials.objects.get()
    assert row.status == Status.DISCONNECTED
    assert row.events.last().kind == EventKind.REVOCATION_FAILED
