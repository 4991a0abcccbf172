"""A user sees how each mailbox is and what to do, and hears what came of whatever they did."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse

from mail_oauth.managers.vocabulary import Status
from mail_oauth.models import MailCredentials

pytestmark = pytest.mark.django_db

LIST = "/mail/"


class Reader(HTMLParser):
    """What a page is made of: its tags with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def of(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]


def html_of(surfer, path: str = LIST) -> str:
    reply = surfer.client.get(path)
    assert reply.status_code == 200
    return reply.content.decode()


def told(reply) -> list[str]:
    return [str(message) for message in get_messages(reply.wsgi_request)]


def test_it_says_what_to_do_and_by_whom(surfer, connect):
    row = connect(email="ada@example.com")
    html = html_of(surfer)
    assert "Works" in html
    assert "Next:" not in html
    MailCredentials.objects.filter(pk=row.pk).update(status=Status.NEEDS_ADMIN, status_reason="AADSTS53003")
    html = html_of(surfer)
    assert "Needs your administrator" in html
    assert "Next: the administrator of your organisation. Code: AADSTS53003" in html


def test_what_its_user_can_mend_comes_first(surfer, connect):
    connect(email="a@example.com")
    row = connect(email="b@example.com")
    MailCredentials.objects.filter(pk=row.pk).update(status=Status.NEEDS_REAUTH)
    html = html_of(surfer)
    assert html.index("b@example.com") < html.index("a@example.com")


def test_it_says_what_was_allowed_and_where_that_is_withdrawn(surfer, connect):
    connect("google")
    html = html_of(surfer)
    assert "Read, write, send and delete your mail" in html
    assert 'href="https://myaccount.google.com/connections"' in html


def test_a_mailbox_of_a_provider_that_is_gone_is_shown_and_can_be_disconnected(surfer, connect, settings):
    row = connect("google")
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "PROVIDERS": {}}
    html = html_of(surfer)
    assert "no longer offers" in html
    assert reverse("mail_oauth:disconnect", args=[row.pk]) in html
    assert "This site has no mail provider set up yet." in html


def test_it_needs_no_script_and_no_style_of_its_own(surfer, connect):
    for path in (LIST, reverse("mail_oauth:disconnect", args=[connect().pk]), "/mail/refused/google/declined/"):
        page = Reader(html_of(surfer, path))
        assert page.of("script", "style") == []
        assert [attributes for _, attributes in page.tags if "style" in attributes] == []
        assert [name for _, attributes in page.tags for name in attributes if name.startswith("on")] == []


def test_each_button_names_its_mailbox_to_who_hears_the_page(surfer, connect):
    rows = [connect(email="a@example.com"), connect(email="b@example.com")]
    page = Reader(html_of(surfer))
    labels = [
        attributes["aria-label"] or "" for attributes in page.of("button", "a") if "aria-label" in attributes
    ]
    for row in rows:
        assert sum(row.email in label for label in labels) == 3, "reconnect, send a test message, disconnect"
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_nothing_of_a_token_stands_on_it(surfer, connect, provider):
    connect()
    html = html_of(surfer)
    assert not any(secret in html for secret in provider.issued)


class TestWhatCameOfIt:
    def test_connecting(self, surfer):
        assert told(surfer.connect()) == ["ada@example.com is connected."]

    def test_disconnecting_with_a_link_where_access_still_stands(self, surfer, connect):
        row = connect("microsoft", email="ada@example.com")
        page = surfer.client.post(reverse("mail_oauth:disconnect", args=[row.pk]), follow=True).content.decode()
        assert "cannot be told to withdraw" in page
        assert (
            '<a href="https://myapps.microsoft.com/" rel="noopener noreferrer">Your account at Microsoft</a>'
            in page
        )

    def test_disconnecting_where_the_provider_has_withdrawn_it(self, surfer, connect):
        row = connect("google")
        page = surfer.client.post(reverse("mail_oauth:disconnect", args=[row.pk]), follow=True).content.decode()
        assert "has withdrawn this site" in page
        assert "myaccount.google.com" not in page

    def test_disconnecting_twice(self, surfer, connect):
        url = reverse("mail_oauth:disconnect", args=[connect(email="ada@example.com").pk])
        surfer.client.post(url)
        for reply in (surfer.client.post(url), surfer.client.get(url)):
            assert reply["Location"] == LIST
            assert told(reply)[-1] == "ada@example.com is disconnected already."

    def test_an_address_is_never_markup(self, surfer, connect):
        row = connect("microsoft")
        MailCredentials.objects.filter(pk=row.pk).update(email='"<b>"@example.com')
        page = surfer.client.post(reverse("mail_oauth:disconnect", args=[row.pk]), follow=True).content.decode()
        assert "<b>" not in page

    def test_refusals(self, surfer):
        url = surfer.start()
        page = surfer.client.get(surfer.follow(surfer.consent(url, "ada@example.com", deny=True))["Location"])
        assert "You did not allow access" in page.content.decode()
