"""A person's browser, at our site by Django's test client, at the provider by its real pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import requests
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from tests.toolkit.provider.people import ADA, PASSWORD, REDIRECT_URI

if TYPE_CHECKING:
    from django.contrib.auth.models import User


@dataclass
class Visitor:
    """A user of our site who has an account at the provider."""

    client: Client
    user: User

    def start(self, **fields: Any) -> str:
        """Press our button; return where the browser is sent."""
        reply = self.client.post(reverse("mail_oauth:start", args=["toolkit"]), fields)
        assert reply.status_code == 302, reply.content
        return str(reply["Location"])

    def answer(self, url: str, button: str = "Authorize", *, person: str = ADA) -> str:
        """Sign in at the provider and press a button of its consent page; return where that leads."""
        with requests.Session() as browser:
            browser.trust_env = False
            login = staying(browser, browser.get(url, timeout=10, allow_redirects=False))
            page = press(browser, login, "Sign in", username=person, password=PASSWORD)
            reply = page if page.is_redirect else press(browser, page, button)
        return reply.headers["Location"]

    def follow(self, callback: str) -> HttpResponse:
        parts = urlsplit(callback)
        return self.client.get(f"{parts.path}?{parts.query}")

    def connect(self, *, person: str = ADA, **fields: Any) -> HttpResponse:
        """The whole way."""
        return self.follow(self.answer(self.start(**fields), person=person))


def staying(browser: requests.Session, reply: requests.Response) -> requests.Response:
    """Follow redirects until they lead to our site, where no server listens."""
    while reply.is_redirect and not reply.headers["Location"].startswith(REDIRECT_URI):
        url = urljoin(reply.url, reply.headers["Location"])
        reply = browser.get(url, timeout=10, allow_redirects=False)
    return reply


def press(browser: requests.Session, page: requests.Response, button: str, **filled_in: str) -> requests.Response:
    """Fill in the form of a page and press one of its buttons."""
    assert page.ok, page.text
    form = Form()
    form.feed(page.text)
    assert set(filled_in) <= set(form.fields), page.text
    fields = {**form.fields, **filled_in}
    if form.buttons[button]:
        fields[form.buttons[button]] = button
    return staying(browser, browser.post(page.url, data=fields, timeout=10, allow_redirects=False))


@dataclass(eq=False)
class Form(HTMLParser):
    """The one form of a page, posted to the page's own address."""

    fields: dict[str, str] = field(default_factory=dict)
    buttons: dict[str, str] = field(default_factory=dict)
    """By their label: the field's name, where pressing one sends it."""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        about = {name: value or "" for name, value in attrs}
        assert tag != "form" or not about.get("action")
        if tag == "input" and about["type"] == "submit":
            self.buttons[about["value"]] = about.get("name", "")
        elif tag == "input":
            self.fields[about["name"]] = about.get("value", "")
