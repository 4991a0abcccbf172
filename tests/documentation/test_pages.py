"""Every block, include, property and example of docs/pages.md is executed or compared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.template import Context, Template
from django.test import RequestFactory

import mail_oauth
from tests.documentation.blocks import DOCS, block
from tests.documentation.tables import between_markers

PAGE = DOCS / "pages.md"
TEXT = PAGE.read_text()
APP = Path(mail_oauth.__file__).parent
TEMPLATES = APP / "templates" / "mail_oauth"
CSS = (APP / "static" / "mail_oauth" / "mail_oauth.css").read_text()


def test_the_blocks_are_the_templates_own():
    rows = re.findall(r"^\| `mail_oauth/(\S+)` \| (.*) \|$", between_markers(TEXT, "blocks"), re.MULTILINE)
    shown = {name: re.findall(r"`(\w+)`", cell) for name, cell in rows}
    pages = {path.name: path.read_text() for path in TEMPLATES.glob("*.html")}
    assert shown == {name: re.findall(r"{% block (\w+) %}", text) for name, text in pages.items()}


def test_the_includes_are_all_there_are():
    shown = re.findall(r"^\| `(\w+\.html)` \|", between_markers(TEXT, "includes"), re.MULTILINE)
    assert sorted(shown) == sorted(path.name for path in (TEMPLATES / "includes").iterdir())


def test_the_properties_are_all_there_are():
    declared = re.findall(r"^  (--mail-oauth-[\w-]+):", CSS, re.MULTILINE)
    assert re.findall(r"`(--mail-oauth-[\w-]+)`", between_markers(TEXT, "properties")) == declared
    assert set(re.findall(r"(--mail-oauth-[\w-]+):", block(PAGE, "css", ":root"))) <= set(declared)


@pytest.mark.django_db
def test_the_tags(connect, user):
    request = RequestFactory().get("/")
    request.user = user
    context = Context({"request": request, "mailbox": connect("google")})
    html = Template(block(PAGE, "django", "mailbox_standing")).render(context)
    for words in ("Connect Google mailbox", "Works", "Read, write, send and delete your mail"):
        assert words in html


@pytest.mark.django_db
def test_a_block_is_overridden_as_shown(settings, tmp_path, surfer, connect):
    row = connect()
    path = tmp_path / "mail_oauth" / "mailboxes.html"
    path.parent.mkdir()
    path.write_text(block(PAGE, "django", "mailbox_actions"))
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [str(tmp_path)]}]
    html = surfer.client.get("/mail/").content.decode()
    assert f'<a href="/inbox/{row.pk}/">Open</a>' in html
    assert "Disconnect" in html


@pytest.mark.django_db
def test_all_of_it_stands_in_the_sites_own_page(settings, tmp_path, surfer):
    path = tmp_path / "mail_oauth" / "base.html"
    path.parent.mkdir()
    path.write_text(block(PAGE, "django", '"site.html"'))
    (tmp_path / "site.html").write_text("<header>ours</header>{% block content %}{% endblock %}")
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "DIRS": [str(tmp_path)]}]
    html = surfer.client.get("/mail/").content.decode()
    assert "<header>ours</header>" in html
    assert "My mailboxes" in html
