"""Users' pages as a phone and a desktop show them, light and dark: accessible, and under a strict policy; all are valid."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser, Page

from tests.browser.audits import inaccessible, invalid

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from mail_oauth.models import MailCredentials

pytestmark = [pytest.mark.timeout(240)]

REFUSALS = ("declined", "wrong_account", "held_by_another", "mail_scope")
SCREENS = [(360, "light"), (360, "dark"), (1280, "light"), (1280, "dark")]


@pytest.fixture
def person(user: User) -> User:
    """Somebody who sees all: their own pages, and the admin."""
    user.is_staff = user.is_superuser = True
    user.save()
    return user


@pytest.fixture
def mailboxes(connect, person) -> list[MailCredentials]:
    """One in each state."""
    made = [
        connect("microsoft", email="ada@example.com"),
        connect("google", email="a.very.long.name.of.a.mailbox@department.of.long.names.example.com"),
        connect("keycloak", email="tired@example.com", status="needs_reauth", status_reason="invalid_grant"),
        connect("plain", email="waiting@example.com", status="needs_admin", status_reason="AADSTS65001"),
        connect("microsoft", email="paused@example.com", use_oauth=False),
        connect("microsoft", email="gone@example.com", status="disconnected"),
        connect("google", email="dark@example.com", status="unreadable"),
    ]
    made[0].events.create(kind="refreshed", generation=made[0].generation)
    return made


@pytest.fixture
def pages(mailboxes) -> list[str]:
    """Users' own."""
    return [
        reverse("mail_oauth:mailboxes"),
        reverse("mail_oauth:disconnect", args=[mailboxes[0].pk]),
        *(reverse("mail_oauth:refused", args=["microsoft", code]) for code in REFUSALS),
    ]


@pytest.fixture
def admin_pages(mailboxes) -> list[str]:
    """Staff's."""
    admin = "/admin/mail_oauth/"
    listed = ("mailcredentials", "credentialevent", "erasedevent", "providerhealth", "bulkjob", "dashboard")
    return [
        "/admin/",
        *(f"{admin}{name}/" for name in listed),
        *(f"{admin}mailcredentials/{mailbox.pk}/change/" for mailbox in mailboxes),
    ]


@pytest.fixture
def held(db) -> None:
    """A lane is held, and a brake pulled."""
    from mail_oauth.models import ProviderHealth

    soon = timezone.now() + timedelta(minutes=5)
    for trouble in ("client", "reauth"):
        ProviderHealth.objects.create(
            provider="microsoft", trouble=trouble, held=True, reason="invalid_client", held_until=soon
        )


@pytest.fixture
def signed_in(live_server, settings, person) -> Iterator[tuple[str, str]]:
    """The site's address, under a strict policy, and a session of the person."""
    from django.test import Client

    settings.MIDDLEWARE = ["tests.browser.audits.policy.strict_policy", *settings.MIDDLEWARE]
    client = Client()
    client.force_login(person)
    return live_server.url, client.cookies["sessionid"].value


@pytest.fixture
def opened(browser: Browser, signed_in: tuple[str, str], request: pytest.FixtureRequest) -> Iterator[Page]:
    """A tab of the screen that the test is about. What the policy refuses, or the page complains of, fails it."""
    url, session = signed_in
    width, scheme = request.param
    context = browser.new_context(
        base_url=url, viewport={"width": width, "height": 800}, color_scheme=scheme, has_touch=width < 500
    )
    context.add_cookies([{"name": "sessionid", "value": session, "url": url}])
    page = context.new_page()
    page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert not complaints


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("opened", SCREENS, indirect=True, ids=lambda screen: "-".join(map(str, screen)))
def test_every_page_can_be_used_by_everybody(opened: Page, pages):
    found = []
    for path in pages:
        opened.goto(path)
        found += [f"{path}: {finding}" for finding in inaccessible(opened)]
        width = opened.evaluate("document.documentElement.scrollWidth")
        if width > opened.viewport_size["width"]:
            found.append(f"{path}: {width} px wide")
    assert not found, "\n".join(found)


@pytest.fixture
def hebrew(settings) -> None:
    """The site's language is written from right to left."""
    settings.LANGUAGE_CODE = "he"


@pytest.mark.usefixtures("hebrew", "held")
@pytest.mark.parametrize("opened", [(360, "light")], indirect=True)
def test_pages_from_right_to_left_fit_a_phone(opened: Page, mailboxes):
    row = mailboxes[0].pk
    found = []
    for path in (
        reverse("mail_oauth:mailboxes"),
        f"/admin/mail_oauth/mailcredentials/{row}/change/",
        "/admin/mail_oauth/dashboard/",
    ):
        opened.goto(path)
        assert opened.locator("html").get_attribute("dir") == "rtl", path
        found += [f"{path}: {finding}" for finding in inaccessible(opened)]
        width = opened.evaluate("document.documentElement.scrollWidth")
        if width > opened.viewport_size["width"]:
            found.append(f"{path}: {width} px wide")
    assert not found, "\n".join(found)


@pytest.mark.django_db
@pytest.mark.usefixtures("held")
def test_every_page_is_valid(client, person, pages, admin_pages, tmp_path):
    client.force_login(person)
    served = {path: client.get(path) for path in (*pages, *admin_pages)}
    assert {reply.status_code for reply in served.values()} == {200}
    found = invalid({path: reply.content.decode() for path, reply in served.items()}, tmp_path)
    assert not found, "\n".join(found)
