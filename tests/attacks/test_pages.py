"""Every page of the flow: unframed, uncached, unknown to other sites, and fit for the strictest content policy."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

import mail_oauth
from mail_oauth.connect.inviting import new_link
from mail_oauth.connect.refusals import REFUSALS
from mail_oauth.models import MailCredentials
from mail_oauth.urls import urlpatterns

pytestmark = pytest.mark.django_db

# Every answer that a view can give: its name, method, arguments, fields, and the status that is expected.
ANSWERS = [
    ("mailboxes", "get", [], {}, 200),
    ("start", "post", ["microsoft"], {}, 302),
    ("start", "post", ["plain"], {}, 200),
    ("start", "post", ["plain"], {"email": "none"}, 400),
    ("start", "get", ["microsoft"], {}, 405),
    ("callback", "get", ["microsoft"], {}, 400),
    ("callback", "get", ["microsoft"], {"state": "A" * 64, "code": "x"}, 400),
    ("callback", "post", ["microsoft"], {}, 405),
    ("refused", "get", ["microsoft", "wrong_account"], {}, 200),
    ("disconnect", "get", ["row"], {}, 200),
    ("disconnect", "post", ["row"], {}, 302),
    ("disconnect", "put", ["row"], {}, 405),
    ("send_test", "get", ["row"], {}, 405),
    ("reconnect", "get", ["link"], {}, 200),
    ("reconnect", "post", ["link"], {}, 302),
    ("reconnect", "get", ["forged"], {}, 400),
    ("reconnect", "put", ["link"], {}, 405),
]


def answer(client: Client, name: str, method: str, args: list[str], fields: dict[str, str]):
    row = MailCredentials.objects.first()
    named = {"row": lambda: row.pk, "link": lambda: new_link(row)}
    found = [named[arg]() if arg in named else arg for arg in args]
    return getattr(client, method)(reverse(f"mail_oauth:{name}", args=found), fields or None)


def assert_private(reply, *, is_callback: bool) -> None:
    assert reply["X-Frame-Options"] == "DENY"
    assert {"no-store", "private", "no-cache"} <= set(reply["Cache-Control"].split(", "))
    assert reply["Referrer-Policy"] == ("no-referrer" if is_callback else "same-origin")
    assert reply["Cross-Origin-Opener-Policy"] == "same-origin"
    assert reply["X-Content-Type-Options"] == "nosniff"


@pytest.fixture
def bare(settings):
    """A site without the middleware that would set such headers for us."""
    kept = ("sessions", "csrf", "auth", "messages")
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if any(word in name for word in kept)]


def test_every_view_is_in_the_table():
    assert {pattern.name for pattern in urlpatterns} == {name for name, *_ in ANSWERS}


@pytest.mark.parametrize(("name", "method", "args", "fields", "status"), ANSWERS)
def test_the_headers_of_each_answer(surfer, bare, name, method, args, fields, status):
    surfer.connect()
    reply = answer(surfer.client, name, method, args, fields)
    assert reply.status_code == status
    assert_private(reply, is_callback=name == "callback")


@pytest.mark.parametrize(("name", "method", "args"), [("mailboxes", "get", []), ("start", "post", ["microsoft"])])
def test_those_of_the_way_to_the_sign_in_too(client, provider, bare, name, method, args):
    reply = answer(client, name, method, args, {})
    assert reply["Location"].startswith("/admin/login/")
    assert_private(reply, is_callback=False)


def test_those_of_an_anonymous_visit_to_the_callback(client, provider, bare):
    reply = client.get(reverse("mail_oauth:callback", args=["microsoft"]) + "?state=" + "A" * 64 + "&code=x")
    assert reply.status_code == 400
    assert_private(reply, is_callback=True)


def test_those_of_a_grant_that_was_saved(surfer, bare):
    assert_private(surfer.connect(), is_callback=True)


def test_those_of_a_429(surfer, bare, settings):
    settings.MAIL_OAUTH = {**settings.MAIL_OAUTH, "CONNECT_STARTS_PER_HOUR": 1}
    surfer.start()
    assert_private(surfer.client.post("/mail/connect/microsoft/"), is_callback=False)


def test_a_sites_own_opener_policy_is_kept(surfer, settings):
    settings.SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin-allow-popups"
    page = surfer.client.get(reverse("mail_oauth:mailboxes"))
    assert page["Cross-Origin-Opener-Policy"] == "same-origin-allow-popups"


class Strict(HTMLParser):
    """Notes what `default-src 'self'; base-uri 'none'; object-src 'none'` would not allow."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        leads_away = tag == "a" and given.get("rel") == "noopener noreferrer"  # followed by its user alone
        inline = [name for name in given if name == "style" or name.startswith("on")]
        foreign = [
            value
            for name, value in attrs
            if name in {"src", "href", "action"}
            and not re.match(r"/(?!/)", value or "/")
            and not (leads_away and re.match(r"https://\w", value or ""))
        ]
        scripts = tag in {"script", "style", "base", "object", "embed", "iframe", "template"}
        http_equiv = tag == "meta" and "http-equiv" in given
        self.found += [f"<{tag} {what}>" for what in (*inline, *foreign)]
        self.found += [f"<{tag}>"] * (scripts or http_equiv)


def forbidden(html: str) -> list[str]:
    parser = Strict()
    parser.feed(html)
    return parser.found


def test_what_a_strict_policy_forbids_is_found():
    page = (
        '<p style="x" onclick=y><script></script><img src="//evil.example"><a href="javascript:x"><base href="/">'
        '<a href="https://evil.example"><a rel="noopener noreferrer" href="javascript:x">'
    )
    assert len(forbidden(page)) == 8
    assert forbidden('<a href="https://account.example" rel="noopener noreferrer">') == []


@pytest.mark.parametrize(("name", "method", "args", "fields", "status"), ANSWERS)
def test_no_page_holds_what_a_strict_policy_forbids(surfer, name, method, args, fields, status):
    surfer.connect("google", email='"<b style=x onload=y>"@example.com')
    reply = answer(surfer.client, name, method, args, fields)
    assert forbidden(reply.content.decode()) == []


@pytest.mark.parametrize("code", REFUSALS)
def test_nor_does_a_refusal(surfer, code):
    surfer.connect()
    row = MailCredentials.objects.get()
    page = surfer.client.get(reverse("mail_oauth:refused", args=["microsoft", code]) + f"?mailbox={row.pk}")
    assert forbidden(page.content.decode()) == []


def test_nor_the_style_sheet():
    css = (Path(mail_oauth.__file__).parent / "static/mail_oauth/mail_oauth.css").read_text()
    assert not re.search(r"url\(|@import|expression\(|//", css)


class TestWhatIsTyped:
    """No field of a form is stored, or shown again, longer than it may be."""

    @pytest.mark.parametrize("field", ["email", "next", "mailbox", "replace", "ask_address", "provider", "x"])
    def test_is_bounded(self, surfer, field):
        long = {"email": "x" * 100_000 + "@example.com", "mailbox": ""}.get(field, "/" + "x" * 100_000)
        reply = surfer.client.post(reverse("mail_oauth:start", args=["plain"]), {"email": "none", field: long})
        assert reply.status_code == 400
        assert len(reply.content) < 10_000

    def test_a_megabyte_is_not_even_read(self, surfer, settings):
        reply = surfer.client.post(reverse("mail_oauth:start", args=["plain"]), {"email": "x" * 3_000_000})
        assert reply.status_code == 400

    def test_a_next_that_leads_elsewhere_is_not_shown_again(self, surfer):
        fields = {"email": "none", "next": "//evil.example", "replace": "evil"}
        page = surfer.client.post(reverse("mail_oauth:start", args=["plain"]), fields)
        assert b"evil" not in page.content

    def test_one_of_this_site_is_not_lost_by_a_slip(self, surfer):
        page = surfer.client.post(
            reverse("mail_oauth:start", args=["plain"]), {"email": "none", "next": "/inbox/"}
        )
        assert b'name="next" value="/inbox/"' in page.content

    def test_the_session_does_not_grow(self, surfer):
        surfer.start()
        before = dict(surfer.client.session)
        for alias in ("microsoft", "google", "keycloak") * 3:
            surfer.start(alias)
        surfer.follow("/mail/callback/microsoft/?state=" + "A" * 64 + "&code=x")
        assert dict(surfer.client.session) == before

    def test_a_host_of_endless_subdomains_is_refused(self, surfer, settings):
        settings.ALLOWED_HOSTS = [".example.com"]
        host = "x" * 600 + ".example.com"
        reply = surfer.client.post(reverse("mail_oauth:start", args=["microsoft"]), headers={"host": host})
        assert reply["Location"].endswith("/refused/microsoft/bad_request/")
