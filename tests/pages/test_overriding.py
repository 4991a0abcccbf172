"""A site changes one block, or one small template, and keeps the rest."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.template.loader import get_template, render_to_string
from django.urls import reverse

import mail_oauth
from mail_oauth.connect.inviting import new_link
from mail_oauth.models import MailCredentials
from mail_oauth.wording.standing import Actor, Level, Standing

TEMPLATES = Path(mail_oauth.__file__).parent / "templates" / "mail_oauth"
PAGES = ("base.html", "mailboxes.html", "disconnect.html", "refused.html", "address.html", "reconnect.html")
MAILS = ("mail/base.html", "mail/needs.html", "mail/works.html", "mail/digest.html", "mail/reconnect.html")


FILLED = ("base.html", "content")
"""Every page fills it."""


def blocks_of(name: str) -> list[str]:
    return re.findall(r"{% block (\w+) %}", (TEMPLATES / name).read_text())


@pytest.fixture
def override(settings, tmp_path):
    """`override("mail_oauth/x.html", "…")`: the site has a template of that name."""

    def write(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [str(tmp_path)]}]  # and caches are empty again

    return write


@pytest.fixture
def page_of(surfer, connect):
    """What a user sees of a page."""

    def read(name: str) -> str:
        row = MailCredentials.objects.first() or connect(email="ada@example.com")
        if name == "address.html":
            return surfer.client.post(reverse("mail_oauth:start", args=["plain"])).content.decode()
        paths = {
            "disconnect.html": reverse("mail_oauth:disconnect", args=[row.pk]),
            "refused.html": reverse("mail_oauth:refused", args=["google", "declined"]),
            "reconnect.html": reverse("mail_oauth:reconnect", args=[new_link(row)]),
        }
        return surfer.client.get(paths.get(name, "/mail/")).content.decode()

    return read


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("page", "block"), [(page, block) for page in PAGES for block in blocks_of(page) if (page, block) != FILLED]
)
def test_each_block_of_a_page(override, page_of, surfer, page, block):
    if block == "no_mailbox":
        MailCredentials.objects.all().delete()
        page_of = lambda _: surfer.client.get("/mail/").content.decode()  # noqa: E731
    if block == "messages":
        surfer.connect()
    before = page_of(page)
    override(
        f"mail_oauth/{page}",
        f'{{% extends "mail_oauth/{page}" %}}{{% block {block} %}}our own words{{% endblock %}}',
    )
    if block == "messages":
        surfer.connect()
    after = page_of(page)
    assert "our own words" in after
    assert "our own words" not in before
    assert after != before


CONTEXT = {
    "site": "site.example",
    "url": "https://site.example/mail/",
    "mailboxes": [
        SimpleNamespace(
            email="ada@example.com",
            provider="Google",
            url="https://site.example/mail/#x",
            standing=Standing(level=Level.BAD, headline="Needs you", advice="Reconnect it.", actor=Actor.USER),
        )
    ],
    "mailbox": SimpleNamespace(email="ada@example.com"),
    "days": 7,
    "groups": [("google", "", "needs you", 3)],
}


@pytest.mark.parametrize(("mail", "block"), [(mail, block) for mail in MAILS for block in blocks_of(mail)])
def test_each_block_of_a_mail(override, mail, block):
    context = CONTEXT if mail != "mail/digest.html" else {**CONTEXT, "mailboxes": [("a@b.example", "google", "x")]}
    before = render_to_string(f"mail_oauth/{mail}", context)
    override(
        f"mail_oauth/{mail}",
        f'{{% extends "mail_oauth/{mail}" %}}{{% block {block} %}}our own words{{% endblock %}}',
    )
    assert "our own words" not in before
    assert "our own words" in render_to_string(f"mail_oauth/{mail}", context)


@pytest.mark.django_db
@pytest.mark.parametrize("name", sorted(path.name for path in (TEMPLATES / "includes").glob("*.html")))
def test_each_small_template(override, page_of, surfer, connect, name):
    row = connect(email="ada@example.com")
    MailCredentials.objects.filter(pk=row.pk).update(grant_warned_at=row.connected_at)
    override(f"mail_oauth/includes/{name}", "our own words")
    assert "our own words" in page_of("mailboxes.html")


@pytest.mark.django_db
class TestAMarkThatTheSitePutsInPlace:
    def test_makes_the_button_the_providers_own(self, override, page_of):
        override("mail_oauth/marks/google.html", '<svg class="their-mark"></svg>')
        html = page_of("mailboxes.html")
        assert "Continue with Google" in html
        assert "mail-oauth-brand-google" in html
        assert html.count("their-mark") == 1
        assert "Connect Microsoft mailbox" in html, "the others stay as they are"

    def test_of_microsofts_comes_with_a_word_on_accounts(self, override, page_of):
        override("mail_oauth/marks/microsoft.html", '<svg class="their-mark"></svg>')
        html = page_of("mailboxes.html")
        assert "Sign in with Microsoft" in html
        assert "With a work, school or personal account" in html

    def test_is_on_no_button_that_does_something_else(self, override, page_of):
        override("mail_oauth/marks/google.html", '<svg class="their-mark"></svg>')
        assert "their-mark" not in page_of("refused.html")

    def test_is_not_in_this_app(self):
        assert [path.name for path in (TEMPLATES / "marks").iterdir()] == ["none.html"]
        assert (TEMPLATES / "marks" / "none.html").read_text() == ""


def test_every_template_is_tried():
    names = {str(path.relative_to(TEMPLATES)) for path in TEMPLATES.rglob("*.html")}
    small = {name for name in names if name.startswith(("includes/", "marks/"))}
    assert names == small | set(PAGES) | set(MAILS)
    assert all(get_template(f"mail_oauth/{name}") for name in names)
